"""What ends a program in one line."""

from collections.abc import Iterator
from contextlib import contextmanager

from lib.tf import tf


class UserError(ValueError):
    """Something the user can put right; its text says what is wrong and what to do."""


class Stopped(Exception):
    """A signal ended the run, which is saved; the text says how to go on."""

    def __init__(self, message: str, status: int):
        super().__init__(message)
        self.status = status


class Finished(Exception):
    """There is nothing left to do, as was said."""


@contextmanager
def file_errors() -> Iterator[None]:
    """TensorFlow's file errors as Python's."""
    try:
        yield
    except tf.errors.OpError as error:
        raise OSError(error.message.splitlines()[0]) from error
