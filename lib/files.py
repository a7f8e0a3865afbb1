"""Files: written whole or not at all, and read whoever made them."""

import errno
import os
import secrets
import shutil
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lib import signals
from lib.errors import UserError

# Errors that are no fault of a file's content, and what helps.
ADVICE = {
    errno.EACCES: "make it readable",
    errno.EAGAIN: "close other programs, or raise `ulimit -u`",
    errno.EMFILE: "close other programs, or raise `ulimit -n`",
    errno.ENFILE: "close other programs, or raise `ulimit -n`",
}


@contextmanager
def temporary_beside(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` that is no other writer's; what is left there is removed.

    It keeps the suffixes, from which writers tell the format. Errors of writing name `path`.
    """
    temporary = path.with_name(f".tmp.{secrets.token_hex(4)}.{path.name}")
    signals.at_leaving.append(temporary.unlink)
    try:
        yield temporary
    except OSError as error:
        if error.errno and error.filename in (None, str(temporary)):
            raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
        raise
    finally:
        with suppress(OSError):  # what kept it from being written says why
            temporary.unlink()
        signals.at_leaving.remove(temporary.unlink)


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block succeeds.

    Whatever stops the writer, be it a power cut, a reader finds the old file or the new one,
    never a part.
    """
    path = Path(path)
    with temporary_beside(path) as temporary:
        yield temporary
        flush(temporary)
        os.replace(temporary, path)
        flush(path.parent)


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
    path.parent.mkdir(parents=True, exist_ok=True)
    first, number = path, 1
    with temporary_beside(path) as temporary:
        temporary.write_bytes(content)
        while not link_new(temporary, path):
            if path.is_file() and path.read_bytes() == content:
                break
            number += 1
            path = first.with_stem(f"{first.stem}-{number}")
    return path


def link_new(source: Path, path: Path) -> bool:
    """Give a file another name, unless something has that, be it made in the same moment.

    Both are on the disk itself then.
    """
    flush(source)
    try:
        os.link(source, path)
    except FileExistsError:
        return False
    except OSError:  # a file system without links
        if path.exists():
            return False
        os.replace(source, path)
    flush(path.parent)
    return True


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def entries(folder: Path) -> list[Path]:
    """What is in a folder; nothing where there is none. `Path.glob` is silent of what it may not
    read.
    """
    try:
        return [*folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []


def leftovers(path: Path) -> Iterator[Path]:
    """What killed writers of `path` left; its name may be a pattern."""
    return path.parent.glob(f".tmp.{'[0-9a-f]' * 8}.{path.name}")


def flush(path: Path) -> None:
    """Have a file's content, or a folder's list of files, on the disk itself."""
    if os.name != "posix":  # Windows flushes no folder
        return
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except PermissionError:
        if path.is_dir():  # one that may be written, but not read
            return
        raise
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # of file systems that can't
            raise
    finally:
        os.close(descriptor)


@contextmanager
def reading(
    path: str | Path, suffix: str, content: str, advice: str = "give a file that does"
) -> Iterator[Path]:
    """Read a file that may hold anything: whatever is wrong with it ends in one line.

    Args:
        path: of the file.
        suffix: that its name must have.
        content: what it is to hold, with its article.
        advice: what to do where it doesn't.

    Yields:
        The path, of a regular file: opening a pipe waits for its writer, a device for whatever.

    Raises:
        UserError: there is no such file, or reading failed, by whatever exception.
    """
    path = Path(path)
    try:
        if path.suffix != suffix or path.is_dir():
            raise UserError(f"{path} is no {suffix} file: give one that holds {content}")
        if not path.exists():
            raise UserError(f"there is no file {path}: give one that holds {content}")
        if not path.is_file():
            raise UserError(f"{path} is no regular file: give one that holds {content}")
        path.open("rb").close()  # what may not be read is told here, and alike
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they'd be lines beside the one
            yield path
    except UserError:
        raise
    except Exception as error:  # there is no end to what a stranger's file can hold
        if (number := getattr(error, "errno", None)) in ADVICE:
            raise UserError(f"{path}: {os.strerror(number)}: {ADVICE[number]}") from error
        reason = textwrap.shorten(str(error) or type(error).__name__, 120, placeholder=" ...")
        raise UserError(f"{path} doesn't hold {content}: {advice} ({reason})") from error
