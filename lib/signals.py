"""Signals that ask a run to stop."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Thread

STOP = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
SIGPIPE = 13  # Windows has none

# What is called where a signal ends the program: to remove a temporary file, to end a process.
at_leaving: list[Callable] = []


@contextmanager
def handled_by(handler: Callable) -> Iterator[None]:
    """Have `handler` take SIGINT, SIGTERM and SIGHUP.

    Those that are ignored, as `nohup` and a shell's `&` have it, stay ignored.
    """
    before = {signum: signal.getsignal(signum) for signum in STOP}
    try:
        for signum in STOP:
            if before[signum] != signal.SIG_IGN:
                signal.signal(signum, handler)
        yield
    finally:
        for signum in STOP:
            signal.signal(signum, before[signum])


@contextmanager
def leaving() -> Iterator[None]:
    """Have SIGINT, SIGTERM and SIGHUP end the program at once, and leave nothing half written."""
    with handled_by(leave):
        yield


def leave(signum: int, _frame) -> None:
    """Do what `at_leaving` holds, and end the program.

    Not by an exception: in Python that native code calls, TensorFlow's above all, it is lost, becomes
    another one, or crashes that code.
    """
    for clean_up in at_leaving:
        with suppress(OSError):
            clean_up()
    os._exit(128 + signum)


def start(command: list, **kwargs) -> subprocess.Popen:
    """Start a process that ends with this one where `leave` ends it, in whatever moment."""
    received = []
    with handled_by(lambda signum, _frame: received.append(signum)):
        process = subprocess.Popen(command, **kwargs)
        at_leaving.append(process.kill)
    for signum in received:
        signal.raise_signal(signum)
    return process


@contextmanager
def deferred() -> Iterator[list[int]]:
    """Collect SIGINT, SIGTERM and SIGHUP instead of dying of them; a second SIGINT is deadly."""
    received = []
    # A step is one native call, which Python's handlers wait for, and in which they count several
    # signals as one. Their numbers are sent on at once, to a thread.
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    Thread(target=die_of_the_second_ctrl_c, args=(reader,), daemon=True).start()
    descriptor = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    try:
        with handled_by(lambda signum, _frame: received.append(signum)):
            yield received
    finally:
        signal.set_wakeup_fd(descriptor)
        writer.close()


def die_of_the_second_ctrl_c(reader: socket.socket) -> None:
    """End the process when SIGINT comes again, until the other end is closed.

    The others may come twice from one cause: of a terminal that is closed, the shell and the
    kernel each tell.
    """
    interrupted = False
    with reader:
        while signum := reader.recv(1):
            if signum[0] == signal.SIGINT:
                if interrupted:
                    tell("stopped at once; the run is as it was last saved")
                    os._exit(128 + signal.SIGINT)
                tell("finishing this step; Ctrl-C again stops at once")
                interrupted = True


def tell(text: str) -> None:
    """Answer somebody at a terminal."""
    if sys.stderr.isatty():
        os.write(2, f"\n{text}\n".encode())


def silence_output() -> None:
    """Have standard output say no more: it was closed, and Python would complain at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
