"""Write files whole or not at all; read files that anybody may have made."""

import errno
import os
import shutil
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path
from tempfile import TemporaryDirectory

from lib.plumbing.errors import UserError

TEMPORARY = ".tmp."


@contextmanager
def atomic(path: str | Path, new: bool = False) -> Iterator[Path]:
    """Yield a temporary path; rename it to `path` when the block succeeds.

    Whatever stops the writer, be it a power cut, a reader finds the old file or the new one,
    never a part. Makes the folder of `path`.

    Args:
        path: of the file.
        new: replace nothing.

    Raises:
        FileExistsError: `path` has to be new, and isn't.
        OSError: it can't be written; names `path`.
    """
    path = Path(path)
    if new and os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        # a folder, so that the file keeps its name, from which writers tell the format
        with TemporaryDirectory(prefix=f"{TEMPORARY}{path.name}.", dir=path.parent) as folder:
            temporary = Path(folder, path.name)
            yield temporary
            flush(temporary)
            if new:
                path.touch(exist_ok=False)  # one of several writers at once gets the name
            os.replace(temporary, path)
            flush(path.parent)
    except OSError as error:
        if error.errno and (error.filename is None or TEMPORARY in str(error.filename)):
            raise type(error)(error.errno, os.strerror(error.errno), str(path)) from error
        raise


def write(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all; make its folder."""
    with atomic(path) as temporary:
        temporary.write_bytes(content)


def write_new(path: Path, content: bytes) -> Path:
    """Write a file under `path` or, where that holds something else, with a number added.

    Returns:
        The path that it got.
    """
    names = (path.with_stem(f"{path.stem}-{number}") for number in count(2))
    for free in chain([path], names):
        try:
            with atomic(free, new=True) as temporary:
                temporary.write_bytes(content)
            return free
        except FileExistsError:
            if free.is_file() and free.read_bytes() == content:
                return free


def remove_leftovers(path: Path) -> None:
    """Remove what killed writers of `path` left; its name may be a pattern."""
    for folder in path.parent.glob(f"{TEMPORARY}{path.name}.*"):
        shutil.rmtree(folder)


def flush(path: Path) -> bool:
    """Have a file's content, or a folder's list of files, on the disk itself.

    Returns:
        False for a folder, where the file system flushes none.
    """
    if os.name != "posix":  # Windows flushes no folder
        return True
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno == errno.EIO or not path.is_dir():
            raise
        return False
    finally:
        os.close(descriptor)
    return True


@contextmanager
def reading(path: str | Path, suffixes: str | tuple[str, ...], content: str) -> Iterator[Path]:
    """Read a file that may hold anything: whatever is wrong with it becomes a UserError.

    Args:
        path: of the file.
        suffixes: one of them ends its name.
        content: what it is to hold, with its article.

    Yields:
        The path.

    Raises:
        UserError: there is no such file, or reading it failed, by whatever exception.
    """
    path = Path(path)
    give = f"give one that holds {content}"
    if not path.exists():
        raise UserError(f"there is no file {path}: {give}")
    if not path.is_file():  # opening a pipe would wait for its writer
        raise UserError(f"{path} is no file: {give}")
    if not path.name.endswith(suffixes):
        suffixes = suffixes if isinstance(suffixes, str) else " or ".join(suffixes)
        raise UserError(f"{path} is no {suffixes} file: {give}")
    try:
        yield path
    except UserError:
        raise
    except PermissionError as error:
        raise UserError(f"{path} may not be read: make it readable") from error
    except Exception as error:  # there is no end to what a stranger's file can hold
        reason = textwrap.shorten(str(error) or type(error).__name__, 120, placeholder=" ...")
        raise UserError(f"{path} doesn't hold {content}: {give} ({reason})") from error
