"""What flags are given: argparse types, each of which says what is wrong with a text."""

import argparse
import math
import os
import re
from collections.abc import Callable
from pathlib import Path

FLOAT32_MAX = float(2**128 - 2**104)


def whole_number(low: int, high: int = 2**31 - 1) -> Callable[[str], int]:
    """An argparse type: a whole number from `low` to `high`, by default int32's."""

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = None
        if value is None or not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {low} to {high}")
        return value

    return convert


def number(text: str) -> float:
    """An argparse type: a number that float32 holds, not negative."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= FLOAT32_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 to {FLOAT32_MAX:.6g}")
    return value


def devices(text: str) -> str:
    """An argparse type: what --distribute takes."""
    if not re.fullmatch(r"gpu|cpu:[1-9]\d?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is neither gpu nor cpu:N, with N from 1 to 99")
    return text


def file_ending(suffix: str) -> Callable[[str], str]:
    """An argparse type: the path of a file with this suffix."""

    def convert(text: str) -> str:
        if Path(text).suffix != suffix:
            raise argparse.ArgumentTypeError(f"{text!r} is no name of a {suffix} file")
        return text

    return convert


def absolute_path(text: str) -> str:
    """An argparse type: a path, to be found from any folder."""
    try:
        return os.path.abspath(text)
    except OSError as error:
        raise argparse.ArgumentTypeError("there is no current folder: go to one") from error


def file_name(text: str) -> str:
    """An argparse type: a name for files, in no other folder."""
    # file systems count bytes, and temporary files have longer names
    if not re.fullmatch(r"[\w-][\w.-]*", text) or len(os.fsencode(text)) > 100:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no name of letters, digits, '_', '-', '.', of up to 100 bytes"
        )
    return text
