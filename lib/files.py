"""Files that are written whole or not at all, and what ends a program in one line."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class UserError(ValueError):
    """Something the user can put right; its text says what is wrong and what to do."""


class Stopped(Exception):
    """A signal ended the run, which is saved; the text says how to go on."""

    def __init__(self, message: str, status: int):
        super().__init__(message)
        self.status = status


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block succeeds.

    Whatever stops the writer, a reader finds the old file or the new one, never a part.
    The temporary name keeps the suffixes, from which writers tell the format.
    """
    path = Path(path)
    temporary = path.with_name(f".tmp.{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
