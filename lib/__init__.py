"""What the GAN scripts share: gan.py has the networks, training/ a run, sampling/ what a trained
generator is for, scoring/ how good it is, program/ a script's flags and its ends, plumbing/ files,
errors and TensorFlow.
"""
