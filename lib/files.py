"""Files that are written whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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


def write(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all; makes its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as temporary:
        temporary.write_bytes(content)


def write_new(path: Path, content: bytes) -> Path:
    """Write a file, under `path` or, where that holds something else, with a number added.

    Returns:
        The path that it got.
    """
    first, number = path, 1
    while path.exists() and path.read_bytes() != content:
        number += 1
        path = first.with_stem(f"{first.stem}-{number}")
    write(path, content)
    return path
