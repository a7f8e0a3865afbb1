"""The complete state of a run, on disk."""

import json
import shutil
from pathlib import Path

from lib.plumbing.errors import UserError
from lib.plumbing.files import flush
from lib.plumbing.tf import file_errors, tf
from lib.training.folder import remains

import numpy as np

PROGRESS = "progress/.ATTRIBUTES/py_state"
# What TensorFlow raises of a checkpoint that is cut off, overwritten, or no longer there.
DAMAGED = (tf.errors.OpError, IndexError)


class Progress(tf.train.experimental.PythonState):
    """What a checkpoint holds beside TensorFlow's variables.

    Attributes:
        metadata: what `folder.describe` returned when the run began.
        step: the last one that is done.
        seconds: of training so far.
        first: the metrics of each of the first steps.
        recent: the metrics of each step since the last row of the history.
        history: rows of their means, and of scores.
    """

    def __init__(self):
        self.metadata = {}
        self.step = 0
        self.seconds = 0.0
        self.first = []
        self.recent = []
        self.history = []

    def serialize(self) -> str:
        return json.dumps(
            [self.metadata, self.step, self.seconds, self.first, self.recent, self.history]
        )

    def deserialize(self, string_value) -> None:
        values = json.loads(string_value)
        self.metadata, self.step, self.seconds, self.first, self.recent, self.history = values

    def means(self) -> dict[str, float]:
        """Return the mean of each metric since the last row."""
        return {
            name: float(np.mean([values[name] for values in self.recent]))
            for name in self.recent[-1]
        }


def prefixes(folder: Path) -> list[str]:
    """Return the path prefixes of all checkpoints in a run's folder, the newest first."""
    paths = [*(folder / "checkpoints").glob("ckpt-*.index")]
    steps = sorted(
        (int(path.stem[5:]) for path in paths if path.stem[5:].isdecimal()), reverse=True
    )
    return [str(folder / "checkpoints" / f"ckpt-{step}") for step in steps]


def read_progress(folder: Path) -> Progress:
    """Read how far the run in a folder has come, from its newest checkpoint that can be read.

    Raises:
        UserError: there is none.
    """
    for prefix in prefixes(folder):
        progress = Progress()
        try:
            progress.deserialize(tf.train.load_checkpoint(prefix).get_tensor(PROGRESS))
        except (*DAMAGED, ValueError):  # the last: it is of an earlier version
            continue
        return progress
    raise no_checkpoint(folder)


def no_checkpoint(folder: Path) -> UserError:
    """Return the error for a folder with nothing to resume."""
    if prefixes(folder):
        return UserError(f"no checkpoint in {folder} is whole: begin anew with --overwrite")
    if remains(folder):
        return UserError(f"the run in {folder} saved no checkpoint: begin anew with --overwrite")
    return UserError(
        f"there is no run in {folder}: leave out --resume to begin one, or name the run by "
        "--model-name and --output-dir"
    )


class Checkpoints:
    """The last two checkpoints of a run, whose models are built for training.

    Attributes:
        progress: how far the run has come.
        newest: the path prefix of the last one that was restored or saved, or None.
    """

    def __init__(self, folder: Path, models, rng: tf.random.Generator):
        self.folder = folder
        self.progress = Progress()
        self.newest = None
        for part in (folder / "checkpoints").glob("ckpt-*_temp"):  # of a save that was killed
            shutil.rmtree(part)
        generator, discriminator, adversarial = models
        self.state = tf.train.Checkpoint(
            # TensorFlow finds neither the seeds of Dropout in a model nor layers in a list
            variables=[*generator.variables, *discriminator.variables],
            generator=generator,
            discriminator=discriminator,
            discriminator_optimizer=discriminator.optimizer,
            adversarial_optimizer=adversarial.optimizer,
            rng=rng,
            progress=self.progress,
        )

    def restore(self) -> None:
        """Bring models, random numbers and progress to the state of the newest one that is whole.

        Raises:
            UserError: none is, or it is of other networks.
        """
        for prefix in prefixes(self.folder):
            try:
                self.state.read(prefix).assert_consumed()
            except (ValueError, AssertionError, tf.errors.InvalidArgumentError) as error:
                raise UserError(
                    f"{prefix} is of other networks: begin anew with --overwrite, or give another "
                    "--output-dir"
                ) from error
            except DAMAGED:  # TensorFlow finds it by checksums
                print(f"{prefix} is damaged: going on from the one before", flush=True)
                continue
            self.newest = prefix
            return
        raise no_checkpoint(self.folder)

    def save(self, step: int) -> None:
        """Write one, named after the step; keep the one before, remove the others."""
        folder, before = self.folder / "checkpoints", self.newest
        with file_errors():
            self.newest = self.state.write(str(folder / f"ckpt-{step}"))
        # the one before was flushed when it was saved
        for path in [*folder.glob(f"ckpt-{step}.*"), folder, self.folder]:
            flush(path)
        kept = {Path(prefix).name for prefix in (before, self.newest) if prefix}
        for path in sorted(folder.glob("ckpt-[0-9]*.[di]*"), reverse=True):
            if path.name.partition(".")[0] not in kept:
                path.unlink()  # an index before its data, as it is no checkpoint without
