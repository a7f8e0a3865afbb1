"""What programs say, and the streams that they say it on."""

import os
import re
import shutil
import sys
import textwrap


def open_streams() -> None:
    """Have standard streams that take everything, be they closed or of a narrow encoding."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:  # closed: no file of ours is to get its number
            os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115
    for stream in sys.stdout, sys.stderr:
        stream.reconfigure(errors="backslashreplace")


def one_line(text: str) -> str:
    """A message without TensorFlow's own addresses, and its control characters (in a path, say)
    as Python writes them.
    """
    text = re.sub(r"\{\{.*?\}\} ?| ?\[Op:\w+\]", "", text)
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def fold(text: str) -> str:
    """Break a line between words where the terminal ends."""
    columns = shutil.get_terminal_size().columns
    return textwrap.fill(text, columns, break_long_words=False, break_on_hyphens=False)
