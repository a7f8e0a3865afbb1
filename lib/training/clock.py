"""The time that training takes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """Measures training time across resumes.

    Args:
        seconds: of training before this process.
        step: the last one that is done.
    """

    def __init__(self, seconds: float, step: int):
        now = time.monotonic()
        self.begin = now - seconds
        self.first_step, self.started, self.first_done = step + 1, now, now

    def seconds(self) -> float:
        """Return the seconds that the whole run has trained."""
        return time.monotonic() - self.begin

    def step_done(self, step: int) -> None:
        """Note when the first step of this process is done, which had to be compiled."""
        if step == self.first_step:
            self.first_done = time.monotonic()

    def seconds_a_step(self, step: int) -> float:
        """Return the mean of this process's steps, the first left out if others follow."""
        alone = step == self.first_step
        since = self.started if alone else self.first_done
        return (time.monotonic() - since) / max(1, step - self.first_step)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stop the clock in this context."""
        before = time.monotonic()
        yield
        seconds = time.monotonic() - before
        self.begin += seconds
        self.started += seconds
        self.first_done += seconds
