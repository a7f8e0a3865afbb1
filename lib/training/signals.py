"""Signals that ask a run to stop."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

STOP = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


@contextmanager
def stop_requests() -> Iterator[list[int]]:
    """Collect the first SIGINT, SIGTERM or SIGHUP in a list, instead of dying of it.

    `Run.log` reads the list after each step, saves and stops. The first signal restores the old
    handlers: a second Ctrl-C raises KeyboardInterrupt. Ignored signals stay ignored (`nohup`, a
    shell's `&`). Outside the main thread none is collected.
    """
    received, before = [], {}

    def put_back():
        for signum in [*before]:
            signal.signal(signum, before.pop(signum))

    def note(signum, _frame):
        received.append(signum)
        put_back()
        print("finishing this step; Ctrl-C again stops at once", file=sys.stderr)

    if threading.current_thread() is threading.main_thread():
        for signum in STOP:
            if signal.getsignal(signum) not in (signal.SIG_IGN, None):
                before[signum] = signal.signal(signum, note)
    try:
        yield received
    finally:
        put_back()
