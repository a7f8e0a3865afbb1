"""A script as a program: its flags, and how it ends."""
