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
