"""Files that are written whole or not at all."""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block succeeds.

    Whatever stops the writer, be it a power cut, a reader finds the old file or the new one,
    never a part. The temporary name is no other writer's, and keeps the suffixes, from which
    writers tell the format.
    """
    path = Path(path)
    temporary = path.with_name(f".tmp.{secrets.token_hex(4)}.{path.name}")
    try:
        yield temporary
        flush(temporary)
        os.replace(temporary, path)
        flush(path.parent)
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


def leftovers(path: Path) -> Iterator[Path]:
    """What killed writers of `path` left; its name may be a pattern."""
    return path.parent.glob(f".tmp.{'[0-9a-f]' * 8}.{path.name}")


def flush(path: Path) -> None:
    """Have a file's content, or a folder's list of files, on the disk itself."""
    if os.name != "posix":  # Windows flushes no folder
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # of file systems that can't
            raise
    finally:
        os.close(descriptor)
