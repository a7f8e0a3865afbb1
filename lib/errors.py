"""What ends a program in one line."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf


class UserError(ValueError):
    """Something the user can put right; its text says what is wrong and what to do."""


class Stopped(Exception):
    """A signal ended the run, which is saved; the text says how to go on."""

    def __init__(self, message: str, status: int):
        super().__init__(message)
        self.status = status


@contextmanager
def file_errors() -> Iterator[None]:
    """TensorFlow's file errors as Python's."""
    try:
        yield
    except tf.errors.OpError as error:
        raise OSError(error.message.splitlines()[0]) from error


def one_line(text: str) -> str:
    """A message without TensorFlow's own addresses, and its control characters (in a path, say)
    as Python writes them.
    """
    text = re.sub(r"\{\{.*?\}\} ?| ?\[Op:\w+\]", "", text)
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
