"""A training run: which step is next, and what is due after it.

    with open_run(models, draw, params, plot) as run:
        for step in run.steps():
            run.log(step, train_step())

The folder <output_dir>/<model_name>/ holds the sample grids (00500.png, ...),
history.csv, losses.png, training.gif, TensorBoard events, networks.txt, run.json (the run's
facts) and checkpoints. A checkpoint holds the complete state of the run; the history in all its
forms is written anew from there when a run is resumed.
"""

import math
import os
import signal
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lib import data
from lib.generator import Generator
from lib.pictures import draw_dataset
from lib.plumbing.errors import Finished, Stopped, UserError
from lib.plumbing.files import write
from lib.plumbing.tf import keras, tf
from lib.scoring import evaluation
from lib.scoring.table import scalars
from lib.training import distribute, folder
from lib.training.checkpoints import Checkpoints, Progress, read_progress
from lib.training.clock import Clock
from lib.training.defaults import DEFAULTS
from lib.training.diagram import plot_model, write_summaries
from lib.training.display import Display, header, how_to
from lib.training.record import Record
from lib.training.signals import stop_requests

import numpy as np

CHECKPOINT_SECONDS = 300
EARLY_GRIDS = (1, 100)


@contextmanager
def open_run(
    models, draw: data.Sampler, params: Namespace, plot: Callable[..., Path]
) -> Iterator["Run"]:
    """Begin the run that the parameters describe, or go on with it; at the end, say how to sample.

    Args:
        models: (generator, discriminator, adversarial), the last two compiled.
        draw: draws the batches; its stream of random numbers belongs to the run's state.
        params: the script's flags, or a Namespace of `model_name`, `seed` and whatever else
            isn't as in `training.defaults`.
        plot: draws the sample grid; called with `step` and, as `model_name`, the folder.

    Raises:
        UserError: the folder holds another run, is in use, or has no run to resume; or a
            metric or a weight is no longer finite.
        OSError: the folder can't be written.
        Stopped: after Ctrl-C, SIGTERM or SIGHUP, once the step is done and saved.
        Finished: the resumed run has ended, or --plot-model was given.
    """
    params = Namespace(**DEFAULTS | vars(params))
    generator, discriminator, adversarial = models
    if params.evaluate_interval:
        evaluation.require_mnist(generator)
    if params.plot_model:
        plot_model(generator, discriminator, params.plot_model)
        raise Finished("nothing is left to do")
    place = folder.run_folder(params)
    began = folder.facts(params, draw)
    generator.trained = Generator(
        generator,
        draw.dataset.classes,
        draw.dataset.source,
        draw.distribution,
        draw.image_range,
    )
    generator.trained.encode()  # now, not after hours, it is said what can't be saved
    build_for_training(discriminator, adversarial)
    with folder.claimed(place, params.resume, params.overwrite), stop_requests() as signals:
        checkpoints = Checkpoints(place, models, draw.rng)
        if params.resume:
            folder.check_beginning(place, read_progress(place).began, began)
            checkpoints.restore()
            check_end(place, params, checkpoints.progress)
            began = checkpoints.progress.began | {"parameters": began["parameters"]}
        checkpoints.progress.began = began
        print(header(place, draw, params, checkpoints.progress.step), flush=True)
        folder.write_facts(place, began)
        write(place / "real.png", draw_dataset(draw.dataset))
        write_summaries(models, place / "networks.txt", show=params.summary)
        run = Run(place, models, draw.dataset, params, plot, checkpoints, signals)
        try:
            yield run
            if run.progress.step == params.train_steps:  # not where the loop was left early
                finish(run)
        except Exception:
            run.display.end_line()
            if run.progress.step == 0:  # a step that can't be taken leaves nothing in the way
                folder.clear(place)
            with suppress(OSError):  # the last rows tell how a run diverged
                run.record.save_table()
            raise


def check_end(place: Path, params: Namespace, progress: Progress) -> None:
    """Raise Finished if the run has ended, a UserError if it has passed train_steps."""
    done = progress.step
    if done > params.train_steps:
        raise UserError(
            f"the run in {place} has taken {done} steps already: give --train-steps={done} to "
            "end it there, or more"
        )
    if done == params.train_steps == progress.began["parameters"]["train_steps"]:
        print_finished(place, params, done)
        raise Finished("nothing is left to do")


class Run:
    """Counts the steps of a run; after each shows, draws and saves what is due.

    Args:
        place: the run's folder, claimed.
        models, params, plot: as in `open_run`.
        dataset: what the run trains on.
        checkpoints: those of the folder; the run goes on from there.
        signals: the numbers of signals received so far.
    """

    def __init__(self, place: Path, models, dataset, params, plot, checkpoints, signals: list):
        self.place = place
        self.generator, self.discriminator, _ = models
        self.dataset = dataset
        self.params = params
        self.plot = plot
        self.checkpoints = checkpoints
        self.signals = signals
        self.progress = checkpoints.progress
        grids = []
        for grid in folder.sample_grids(place):
            step = int(grid.stem)
            if step < self.progress.step or (step == self.progress.step and self._grid_due(step)):
                grids.append(grid)
            elif step <= params.train_steps:
                # drawn after the checkpoint from which the run goes on
                for path in grid, *place.glob(f"code?/{grid.name}"):
                    path.unlink()
        self.record = Record(place, self.progress.history, grids)
        self.display = Display(params.train_steps)
        self.unread = []  # metrics that are still on the device
        self.clock = Clock(self.progress.seconds, self.progress.step)
        self.shown, self.saved = -math.inf, time.monotonic()

    def steps(self) -> Iterator[int]:
        """Yield the steps that are left, counted from 1."""
        yield from range(self.progress.step + 1, self.params.train_steps + 1)

    def log(self, step: int, metrics: dict[str, tf.Tensor]) -> None:
        """Take the metrics of a step that is done; show, draw, save what is due.

        Raises as `open_run`.
        """
        self.progress.step = step
        self.unread.append(metrics)
        # asked once: a signal may come at any moment, and workers' clocks differ
        asked, overdue = distribute.any_worker(
            bool(self.signals), time.monotonic() - self.saved > CHECKPOINT_SECONDS
        )
        stopping = asked and step < self.params.train_steps
        ending = stopping or step == self.params.train_steps
        scores_due = self.params.evaluate_interval and step % self.params.evaluate_interval == 0
        row_due = scores_due or step % self.params.log_interval == 0
        grid_due = self._grid_due(step)
        save_due = grid_due or ending or overdue

        if row_due or save_due or time.monotonic() - self.shown > 0.5:
            self._read()
        if save_due or scores_due:
            self._check_weights()
        if row_due:
            row = self._add_row(self._scores() if scores_due else {})
            self.progress.history.append(row)
            self.progress.recent.clear()
        if grid_due:
            self._add_grid()
        if save_due and not ending:
            self._save()
        self.clock.step_done(step)
        if stopping:
            self.close()
            self.display.end_line()
            raise stopped(self)

    def _grid_due(self, step: int) -> bool:
        return step in EARLY_GRIDS or step % self.params.save_interval == 0

    def close(self, **ended) -> None:
        """Save all, with a row and a grid of the last step, if none was due.

        The checkpoint omits these: a resumed run equals one that never stopped.

        Args:
            ended: go into run.json.
        """
        if self.progress.recent:
            self._add_row({})
        if not self._grid_due(self.progress.step):
            self._add_grid()
        self._save(**ended)

    def _save(self, **ended) -> None:
        self.progress.seconds = self.clock.seconds()
        path = folder.generator_path(self.place)
        self.generator.trained.save(path)
        folder.write_facts(self.place, self.progress.began, **ended)
        self.record.draw()
        self.checkpoints.save(self.progress.step)  # last: what it counts as done is on disk
        self.saved = time.monotonic()

    def _add_row(self, scores: dict[str, float]) -> dict[str, float]:
        row = {"step": self.progress.step, **self.progress.means(), **scores}
        self.record.add_row(row)
        self.display.row(row, self.clock.seconds_a_step(row["step"]))
        return row

    def _add_grid(self) -> None:
        self.record.add_grid(self.plot(step=self.progress.step, model_name=self.place))

    def _read(self) -> None:
        """Wait for the device and fetch metrics from it; check and show them."""
        progress = self.progress
        for step, tensors in enumerate(self.unread, progress.step - len(self.unread) + 1):
            values = {name: float(tensor) for name, tensor in tensors.items()}
            for name, value in values.items():
                if not math.isfinite(value):
                    raise diverged(f"{name} at step {step}", self.checkpoints.newest)
            progress.recent.append(values)
        self.unread.clear()
        self.shown = time.monotonic()
        rate = self.clock.seconds_a_step(progress.step)
        self.display.progress(progress.step, progress.means(), rate)

    def _scores(self) -> dict[str, float]:
        with self.clock.paused():
            self.display.line(f"step {self.progress.step}: scoring 10,000 images")
            scores = scalars(evaluation.evaluate(self.generator, self.params.seed, quick=True))
            self.display.line(", ".join(f"{name} {v:.4g}" for name, v in scores.items()))
        return scores

    def _check_weights(self) -> None:
        for model in self.generator, self.discriminator:
            if not all(np.isfinite(weight).all() for weight in model.get_weights()):
                what = f"a weight of the {model.name} after step {self.progress.step}"
                raise diverged(what, self.checkpoints.newest)


def diverged(what: str, newest: str | None) -> UserError:
    """Return the error for a run in which `what` isn't finite; its last checkpoint is `newest`."""
    last_good = f"the last good checkpoint is {newest}" if newest else "nothing was saved yet"
    return UserError(
        f"diverged, {what} is not finite; {last_good}; begin anew with other hyperparameters "
        "and --overwrite"
    )


def stopped(run: Run) -> Stopped:
    """Return the exception for a run asked to stop, here or elsewhere in its cluster."""
    return Stopped(
        f"stopped after step {run.progress.step}, all of it saved, and the generator as it is "
        f"in {folder.generator_path(run.place)}; go on with: {how_to(run.params, '--resume')}",
        signum=(run.signals or [signal.SIGTERM])[0],
    )


def finish(run: Run) -> None:
    """Record that a run ended, and say how to let it grow and how to sample from its generator."""
    steps = run.progress.step
    rate = round(steps / run.clock.seconds(), 3)
    run.close(ended=folder.timestamp(), steps=steps, steps_per_second=rate)
    print_finished(run.place, run.params, steps)


def print_finished(place: Path, params: Namespace, steps: int) -> None:
    """Say that a run ended, how to let it grow and how to sample from its generator."""
    path = folder.generator_path(place)
    print(f"finished after step {steps}; more steps with:")
    print(how_to(params, "--resume", f"--train-steps={2 * steps}"))
    print(f"wrote {path} and {place}{os.sep}", end="")
    sample = params.command and f"; sample with:\n{how_to(params, f'--generator={path}')}"
    print(sample or "", flush=True)


def build_for_training(discriminator: keras.Model, adversarial: keras.Model) -> None:
    """Create the metrics and the optimizers' slots of both compiled models, as `fit` does.

    A compiled step can't under tf.distribute. Checkpoints restore only existing variables.
    """
    y = tf.nest.map_structure(lambda output: tf.zeros((1, *output.shape[1:])), discriminator.output)
    for model in discriminator, adversarial:
        regularized = [(v, v.value) for v in model.trainable_variables if v.regularizer]
        with keras.StatelessScope(regularized):  # leaves the values of all variables as they are
            if model.loss is not None:  # not where a step computes one of its own
                model.compute_loss(y=y, y_pred=y)
            model.compute_metrics(None, y, y)
        model.optimizer.build(model.trainable_variables)
