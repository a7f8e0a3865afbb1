"""A training run: which step is next, and what is due after it.

    with open_run(models, draw.rng, params, plot) as run:
        for step in run.steps():
            run.log(step, train_step())

The folder <output_dir>/<model_name>/ holds the sample grids (00500.png, ...),
history.csv, losses.png, training.gif, TensorBoard events, run.json (the run's facts) and
checkpoints. A checkpoint holds the complete state of the run; the history in all its
forms is written anew from there when a run is resumed.
"""

import math
import os
import shlex
import shutil
import signal
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lib import distribute, evaluation, folder, generator_file, keras2, record
from lib.checkpoint import Checkpoints
from lib.errors import Stopped, UserError

import numpy as np
import tensorflow as tf

CHECKPOINT_SECONDS = 300


@contextmanager
def open_run(
    models, rng: tf.random.Generator, params: Namespace, plot: Callable[..., Path]
) -> Iterator["Run"]:
    """Begin the run that the flags describe, or go on with it; at the end, write the generator.

    Args:
        models: (generator, discriminator, adversarial), the last two compiled.
        rng: draws all random numbers of the steps.
        params: the script's flags.
        plot: draws the sample grid; called with `step` and, as `model_name`, the folder.

    Raises:
        UserError: the folder holds another run, is in use, or has no run to resume; or a
            metric or a weight is no longer finite.
        OSError: the folder can't be written.
        Stopped: after SIGINT or SIGTERM, once the step is done and saved.
    """
    generator, discriminator, adversarial = models
    if params.evaluate_interval:
        evaluation.require_mnist(generator)
    if params.plot_model:
        record.plot_model(generator, discriminator, params.plot_model)
    with folder.claim(params) as place, deferred_signals() as received:
        for model in discriminator, generator, adversarial:
            model.summary()
        keras2.build_for_training(discriminator, adversarial)
        checkpoints = Checkpoints(place, models, rng)
        if checkpoints.newest:
            print(f"resumed after step {checkpoints.progress.step}")
        folder.write_facts(place, params)
        run = Run(place, models, params, plot, checkpoints, received)
        try:
            yield run
        except Exception:
            print()  # ends the bar's line
            raise
        run.finish()


class Run:
    """Counts the steps of a run; after each shows, draws and saves what is due.

    Args:
        place: the run's folder, claimed.
        models, params, plot: as in `open_run`.
        checkpoints: those of the folder; the run goes on from there.
        signals: receives the numbers of those that ask to stop.
    """

    def __init__(self, place: Path, models, params, plot, checkpoints: Checkpoints, signals: list):
        self.place = place
        self.generator, self.discriminator, _ = models
        self.params = params
        self.plot = plot
        self.checkpoints = checkpoints
        self.signals = signals
        self.progress = checkpoints.progress
        self.record = record.Record(place, self.progress.history, self.progress.step)
        self.bar = keras2.Progbar(params.train_steps)
        self.unread = []  # metrics that are still on the device
        now = time.monotonic()
        self.started = now - self.progress.seconds
        self.shown, self.saved = -math.inf, now
        self.first_step, self.first_done = self.progress.step + 1, now

    def steps(self) -> Iterator[int]:
        """The steps that are left, counted from 1."""
        yield from range(self.progress.step + 1, self.params.train_steps + 1)

    def log(self, step: int, metrics: dict[str, tf.Tensor]) -> None:
        """Take the metrics of a step that is done; show, draw and save what is due.

        Raises:
            As `open_run`.
        """
        self.progress.step = step
        self.unread.append(metrics)
        params = self.params
        # asked once: a signal may come at any moment
        stopping = distribute.any_worker(bool(self.signals))
        scores_due = params.evaluate_interval and step % params.evaluate_interval == 0
        row_due = scores_due or step % params.log_interval == 0
        grid_due = step % params.save_interval == 0
        ending = stopping or step == params.train_steps
        save_due = grid_due or ending or time.monotonic() - self.saved > CHECKPOINT_SECONDS

        if row_due or save_due or time.monotonic() - self.shown > 0.5:
            self._read()
        if save_due or scores_due:
            self._check_weights()
        if row_due:
            scores = self._scores() if scores_due else {}
            self.record.add_row({"step": step, **self.progress.means(), **scores})
            self.progress.recent.clear()
        if grid_due:
            self.record.add_grid(self.plot(step=step, model_name=self.place))
        if save_due:
            self.progress.seconds = time.monotonic() - self.started
            self.checkpoints.save(step)
            self.record.draw(step)
            self.saved = time.monotonic()
        if step == self.first_step:  # it was compiled, which the others needn't wait for
            self.first_done = time.monotonic()
        if stopping:
            raise Stopped(
                f"stopped after step {step}, all of it saved; "
                f"go on with: {command(params, '--resume')}",
                status=128 + (self.signals or [signal.SIGTERM])[0],
            )

    def finish(self) -> None:
        """Write the generator and say how to sample from it."""
        path, progress = folder.generator_file(self.place), self.progress
        generator_file.save(self.generator, path)
        folder.write_facts(
            self.place,
            self.params,
            ended=folder.timestamp(),
            steps=progress.step,
            steps_per_second=round(progress.step / progress.seconds, 3),
        )
        sample = command(self.params, f"--generator={path}")
        print(f"wrote {path} and {self.place}{os.sep}; sample with: {sample}")

    def _read(self) -> None:
        """Fetch metrics from the device, which waits for it; look for trouble; show them."""
        progress = self.progress
        for step, tensors in enumerate(self.unread, progress.step - len(self.unread) + 1):
            values = {name: float(tensor) for name, tensor in tensors.items()}
            for name, value in values.items():
                if not math.isfinite(value):
                    self._diverged(f"{name} at step {step}")
            progress.recent.append(values)
        self.unread.clear()
        self.shown = time.monotonic()
        steps = max(1, progress.step - self.first_step)
        self.bar.seconds_a_step = (self.shown - self.first_done) / steps
        self.bar.update(progress.step, bar_metrics(progress.means()))

    def _scores(self) -> dict[str, float]:
        """The generator's scores; the time that they take is no training time."""
        before = time.monotonic()
        scores = evaluation.evaluate(self.generator, self.params.seed)
        seconds = time.monotonic() - before
        self.started += seconds
        self.first_done += seconds
        return evaluation.scalars(scores)

    def _check_weights(self) -> None:
        for model in self.generator, self.discriminator:
            if not all(np.isfinite(weight).all() for weight in model.get_weights()):
                self._diverged(f"a weight of the {model.name} after step {self.progress.step}")

    def _diverged(self, what: str) -> None:
        raise UserError(
            f"diverged, {what} is not finite; the last good checkpoint is "
            f"{self.checkpoints.newest}; begin anew with other hyperparameters and --overwrite"
        )


@contextmanager
def deferred_signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM instead of dying of them; the same one again is deadly."""
    received = []

    def note(signum, _frame):
        received.append(signum)
        signal.signal(signum, signal.SIG_DFL)

    before = {signum: signal.signal(signum, note) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def bar_metrics(means: dict[str, float]) -> list[tuple[str, float]]:
    """As many metrics as a line of the terminal takes: WGAN's estimate, totals, then losses."""
    room = shutil.get_terminal_size((120, 0)).columns - 42  # beside the bar and the times
    short = {"discriminator": "d", "adversarial": "a", "accuracy": "acc"}

    def rank(name):
        return not name.endswith("estimate"), name.count("_"), not name.endswith("loss")

    result = []
    for name in sorted(means, key=rank):
        label = "_".join(short.get(word, word) for word in name.split("_"))
        room -= len(label) + 12
        if room >= 0:
            result.append((label, means[name]))
    return result


def command(params: Namespace, flag: str) -> str:
    """How to start this script again, with this Python, in this place and with `flag`."""
    known = Path(shutil.which("python3") or "").parent == Path(sys.executable).parent
    words = ["python3" if known else os.path.relpath(sys.executable), sys.argv[0]]
    if params.output_dir != ".":
        words.append(f"--output-dir={params.output_dir}")
    if flag == "--resume" and params.distribute:
        words.append(f"--distribute={params.distribute}")
    return shlex.join([*words, flag])
