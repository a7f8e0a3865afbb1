"""The complete state of a run, on disk."""

import json
import re
import shutil
from pathlib import Path

from lib.errors import UserError, file_errors
from lib.files import entries, flush, remove
from lib.tf import tf

import numpy as np


class Progress(tf.train.experimental.PythonState):
    """What a checkpoint holds beside TensorFlow's variables.

    Attributes:
        began: the run's origin, as `folder.origin`.
        step: the last one that is done.
        seconds: of training so far.
        recent: each step's metrics since the last row of the history.
        history: their means, a row every log_interval steps.
    """

    def __init__(self):
        self.began = {}
        self.step = 0
        self.seconds = 0.0
        self.recent = []
        self.history = []

    def serialize(self) -> str:
        return json.dumps([self.began, self.step, self.seconds, self.recent, self.history])

    def deserialize(self, string_value) -> None:
        """Raise a ValueError where the text, which may be a stranger's, is no such state."""
        try:
            state = json.loads(string_value)
            if not is_progress(*state):
                raise ValueError("no progress of a run")
        except (AttributeError, LookupError, RecursionError, TypeError) as error:
            raise ValueError("no progress of a run") from error
        self.began, self.step, self.seconds, self.recent, self.history = state

    def begin(self, began: dict) -> None:
        """Begin, or go on with flags that may have changed since."""
        self.began = (self.began or began) | {"hyperparameters": began["hyperparameters"]}

    def means(self) -> dict[str, float]:
        """The mean of each metric since the last row."""
        return {
            name: float(np.mean([values[name] for values in self.recent if name in values]))
            for name in self.recent[-1]
        }


def is_progress(began, step, seconds, recent, history) -> bool:
    """Whether these can be a run's `Progress`, as far as anything depends on it.

    Raises:
        AttributeError, LookupError, TypeError: they can't.
    """
    rows = [row.items() for row in (*recent, *history)]
    metrics = [value for row in rows for name, value in row if name != "step"]
    steps = [step, *(row["step"] for row in history)]
    return (
        isinstance(recent, list)
        and isinstance(history, list)
        and type(began["hyperparameters"]["train_steps"]) is int
        and isinstance(began["model_name"], str)
        and isinstance(began["data_sha256"], str)
        and all(type(step) is int and 0 < step < 2**31 for step in steps)
        and all(name.isidentifier() for row in rows for name, _ in row)
        and all(isinstance(number, float) and abs(number) < 1e39 for number in [seconds, *metrics])
    )


def parts(folder: Path, name: str = r"ckpt-[1-9]\d{0,17}") -> list[Path]:
    """All that checkpoints in a run's folder are made of, and what killed saves left.

    Args:
        folder: the run's.
        name: of a checkpoint, or a pattern; by default of any.
    """
    kinds = r"_temp|(\.index|\.data-\d{5}-of-\d{5})(\.tempstate\d+)?"
    paths = entries(folder / "checkpoints")
    return [path for path in paths if re.fullmatch(f"{name}({kinds})", path.name)]


def found(folder: Path) -> list[str]:
    """The path prefixes of all checkpoints in a run's folder, whole or not, the newest first."""
    names = [path.name.partition(".") for path in parts(folder)]
    steps = {int(name[5:]) for name, dot, _ in names if dot}
    return [str(folder / "checkpoints" / f"ckpt-{step}") for step in sorted(steps, reverse=True)]


def newest_whole(folder: Path) -> str | None:
    """The path prefix of the newest checkpoint that can be read from end to end, if any can."""
    return next(filter(is_whole, found(folder)), None)


def is_whole(prefix: str) -> bool:
    """Whether all of a checkpoint is there: TensorFlow finds what is damaged by checksums.

    Raises:
        OSError: a file may not be read, which TensorFlow doesn't tell from damage.
    """
    for path in parts(Path(prefix).parents[1], Path(prefix).name):
        if not path.is_file():
            return False
        path.open("rb").close()
    try:
        reader = tf.train.load_checkpoint(prefix)
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)
    except (tf.errors.OpError, IndexError, MemoryError, RuntimeError, ValueError):
        return False
    return True


def read_progress(prefix: str) -> Progress:
    """The progress in a checkpoint that is whole.

    Raises:
        UserError: it is of another version of these scripts.
    """
    progress = Progress()
    try:
        reader = tf.train.load_checkpoint(prefix)
        progress.deserialize(reader.get_tensor("progress/.ATTRIBUTES/py_state"))
    except (tf.errors.OpError, ValueError) as error:
        raise _another_version(prefix) from error
    return progress


def _another_version(prefix: str) -> UserError:
    return UserError(
        f"{prefix} is of another version of these scripts: begin anew with --overwrite, or give "
        "another --output-dir"
    )


class Checkpoints:
    """The last two checkpoints of a run.

    Args:
        folder: the run's; they lie in its `checkpoints`.
        models: (generator, discriminator, adversarial), built for training.
        rng: draws all random numbers of the steps.

    All of these are brought to the state of the newest one that is whole, where there is any.

    Attributes:
        progress: how far the run has come.
        newest: the path prefix of the newest whole one, or None.

    Raises:
        UserError: that is of another version of these scripts.
    """

    def __init__(self, folder: Path, models, rng: tf.random.Generator):
        self.progress = Progress()
        generator, discriminator, adversarial = models
        self.state = tf.train.Checkpoint(
            generator=generator,
            discriminator=discriminator,
            discriminator_optimizer=discriminator.optimizer,
            adversarial_optimizer=adversarial.optimizer,
            rng=rng,
            progress=self.progress,
        )
        self.place = folder / "checkpoints"
        everything = found(folder)
        self.newest = next(filter(is_whole, everything), None)
        if not self.newest:
            return
        with file_errors():
            try:
                self.state.read(self.newest).assert_consumed()
            except (ValueError, AssertionError, tf.errors.NotFoundError) as error:
                raise _another_version(self.newest) from error
        for damaged in everything[: everything.index(self.newest)]:
            print(f"{damaged} is damaged: going on from {self.newest}", flush=True)
        self._keep(*everything)

    def save(self, step: int) -> None:
        """Write one; once it is on the disk itself, remove all but it and the one before.

        It is named after the step, or the number after where that name is taken.
        """
        taken = int(self.newest.rpartition("-")[2]) if self.newest else 0
        prefix = str(self.place / f"ckpt-{max(step, taken + 1)}")
        for damaged in parts(self.place.parent, Path(prefix).name):
            remove(damaged)  # opening a pipe would wait for its reader
        try:
            with file_errors():
                self.state.write(prefix)
        finally:
            shutil.rmtree(f"{prefix}_temp", ignore_errors=True)  # of a disk that got full
        files = parts(self.place.parent, Path(prefix).name)
        for path in *files, self.place, self.place.parent:
            flush(path)
        self._keep(self.newest, prefix)
        self.newest = prefix

    def _keep(self, *prefixes: str | None) -> None:
        """Remove all other checkpoints, and what a killed save left."""
        kept = {Path(prefix).name for prefix in prefixes if prefix}
        for path in parts(self.place.parent):
            if path.name.partition(".")[0] not in kept:
                remove(path)
