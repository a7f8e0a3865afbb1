"""The time that training takes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """Of a run, which may have been resumed.

    Args:
        seconds: what it took before the run was resumed.
        step: the last one that is done.
    """

    def __init__(self, seconds: float, step: int):
        now = time.monotonic()
        self.begin = now - seconds
        self.first_step, self.first_done = step + 1, now

    def seconds(self) -> float:
        """Of the whole run."""
        return time.monotonic() - self.begin

    def step_done(self, step: int) -> None:
        """Take note of the first step of this process, which had to be compiled."""
        if step == self.first_step:
            self.first_done = time.monotonic()

    def seconds_a_step(self, step: int) -> float:
        """Since the first step of this process, if that isn't all there was."""
        return (time.monotonic() - self.first_done) / max(1, step - self.first_step)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Don't count what is done meanwhile."""
        before = time.monotonic()
        yield
        seconds = time.monotonic() - before
        self.begin += seconds
        self.first_done += seconds
