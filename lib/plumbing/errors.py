"""What a run, a function or a program ends with."""


class UserError(ValueError):
    """Something that the user can put right; its text says what is wrong and what to do."""


class Stopped(KeyboardInterrupt):
    """A signal stopped the run, which is saved; the text says how to go on.

    Attributes:
        signum: the signal's number.
    """

    def __init__(self, message: str, signum: int):
        super().__init__(message)
        self.signum = signum


class Finished(Exception):
    """Nothing is left to do."""
