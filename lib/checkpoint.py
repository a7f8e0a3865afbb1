"""The complete state of a run, on disk."""

import json
from pathlib import Path

from lib.errors import UserError, file_errors
from lib.tf import tf

import numpy as np


class Progress(tf.train.experimental.PythonState):
    """What a checkpoint holds beside TensorFlow's variables.

    Attributes:
        step: the last one that is done.
        seconds: of training so far.
        recent: each step's metrics since the last row of the history.
        history: their means, a row every log_interval steps.
    """

    def __init__(self):
        self.step = 0
        self.seconds = 0.0
        self.recent = []
        self.history = []

    def serialize(self) -> str:
        return json.dumps([self.step, self.seconds, self.recent, self.history])

    def deserialize(self, string_value) -> None:
        self.step, self.seconds, self.recent, self.history = json.loads(string_value)

    def means(self) -> dict[str, float]:
        """The mean of each metric since the last row."""
        return {
            name: float(np.mean([values[name] for values in self.recent]))
            for name in self.recent[0]
        }


class Checkpoints:
    """The last two checkpoints of a run.

    Args:
        folder: the run's; they lie in its `checkpoints`.
        models: (generator, discriminator, adversarial), built for training.
        rng: draws all random numbers of the steps.

    All of these are brought to the state of the newest one, where there is any.

    Attributes:
        progress: how far the run has come.

    Raises:
        UserError: the newest one is of another version of these scripts.
        OSError: it can't be read.
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
        self.manager = tf.train.CheckpointManager(self.state, folder / "checkpoints", max_to_keep=2)
        self.state.save_counter  # noqa: B018  (created here, by all workers together)
        if self.newest:
            try:
                with file_errors():
                    self.state.restore(self.newest).assert_consumed()
            except (ValueError, AssertionError) as error:
                raise UserError(
                    f"{self.newest} is of another version of these scripts: begin anew with "
                    "--overwrite, or give another --output-dir"
                ) from error

    @property
    def newest(self) -> str | None:
        """The path prefix of the newest one."""
        return self.manager.latest_checkpoint

    def save(self, step: int) -> None:
        """Write one; remove all but the last two."""
        with file_errors():
            self.manager.save(checkpoint_number=step)
