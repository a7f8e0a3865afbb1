"""Settings of the process, changed for a moment."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def environment(**settings: str | None) -> Iterator[None]:
    """Set environment variables, of which None removes one, and put them back."""
    before = {name: os.environ.pop(name, None) for name in settings}
    os.environ.update({name: value for name, value in settings.items() if value is not None})
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


@contextmanager
def stderr_discarded() -> Iterator[None]:
    """Discard standard error, also what native code writes, where there is one."""
    try:
        stderr = os.dup(2)
    except OSError:  # closed, as under pythonw and IDLE on Windows
        yield
        return
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(null)
