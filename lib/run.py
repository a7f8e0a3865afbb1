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

from lib import (
    data,
    display,
    distribute,
    evaluation,
    folder,
    generator_file,
    keras2,
    record,
    signals,
)
from lib.checkpoint import Checkpoints, Progress
from lib.clock import Clock
from lib.errors import Finished, Stopped, UserError
from lib.memory import require_for_scoring, require_for_training
from lib.tf import tf

import numpy as np

CHECKPOINT_SECONDS = 300
EARLY_GRIDS = (1, 100)


@contextmanager
def open_run(
    models, draw: data.Sampler, params: Namespace, plot: Callable[..., Path]
) -> Iterator["Run"]:
    """Begin the run that the flags describe, or go on with it; at the end, say how to sample.

    Args:
        models: (generator, discriminator, adversarial), the last two compiled.
        draw: draws the batches; its stream of random numbers belongs to the run's state.
        params: the script's flags.
        plot: draws the sample grid; called with `step` and, as `model_name`, the folder.

    Raises:
        UserError: the folder holds another run, is in use, or has no run to resume; or a
            metric or a weight is no longer finite.
        OSError: the folder can't be written.
        Stopped: after SIGINT, SIGTERM or SIGHUP, or where standard output can't be written, once the
            step is done and saved.
        Finished: the run to resume has come to its end.
    """
    generator, discriminator, adversarial = models
    require_for_training(generator, discriminator, params)
    if params.evaluate_interval:
        evaluation.require_mnist(generator)
        if params.evaluate_interval <= params.train_steps:
            require_for_scoring("choose an --evaluate-interval beyond --train-steps")
    if params.plot_model:
        with signals.leaving():
            record.plot_model(generator, discriminator, params.plot_model)
        raise Finished
    began = folder.origin(params, draw.fingerprint())
    with signals.deferred() as received, folder.claim(params, began) as place:
        keras2.build_for_training(discriminator, adversarial)
        checkpoints = Checkpoints(place, models, draw.rng)
        check_end(place, params, checkpoints.progress)
        print(display.header(place, draw, params, checkpoints.progress.step), flush=True)
        checkpoints.progress.begin(began)
        folder.remove_leftovers(place)
        folder.write_facts(place, checkpoints.progress.began)
        record.write_summaries(models, place / "networks.txt", show=params.summary)
        run = Run(place, models, params, plot, checkpoints, received)
        try:
            yield run
            if run.progress.step == params.train_steps:  # not where the loop was left early
                finish(run)
        except Exception:
            run.display.end_line()
            with suppress(OSError):  # the last rows tell how a run diverged
                run.record.save_table()
            raise


def check_end(place: Path, params: Namespace, progress: Progress) -> None:
    """Raise where no step is left: Finished, or a UserError if the run has taken more already."""
    done = progress.step
    if done > params.train_steps:
        raise UserError(
            f"the run in {place} has taken {done} steps already: give --train-steps={done} to "
            "end it there, or more"
        )
    if done == params.train_steps == progress.began["hyperparameters"]["train_steps"]:
        print_finished(place, params, done)
        raise Finished


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
        for grid in folder.sample_grids(place, params.train_steps):
            step = int(grid.stem)
            if step >= self.progress.step and not self._grid_due(step):
                grid.unlink()  # of a stop, where the run now goes on
        self.record = record.Record(place, self.progress.history, self.progress.step)
        self.display = display.Display(params.train_steps)
        self.unread = []  # metrics that are still on the device
        self.clock = Clock(self.progress.seconds, self.progress.step)
        self.shown, self.saved = -math.inf, time.monotonic()

    def steps(self) -> Iterator[int]:
        """The steps that are left, counted from 1."""
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
            raise stopped(self)

    def _grid_due(self, step: int) -> bool:
        return step in EARLY_GRIDS or step % self.params.save_interval == 0

    def close(self, **facts) -> None:
        """Save all; have the last step in the history and the pictures, if it isn't by itself.

        The checkpoint doesn't know of these: a run that goes on is as if it had never stopped.
        The facts go into run.json.
        """
        if self.progress.recent:
            self._add_row({})
        if not self._grid_due(self.progress.step):
            self._add_grid()
        self._save(**facts)

    def _save(self, **facts) -> None:
        self.progress.seconds = self.clock.seconds()
        generator_file.save(self.generator, folder.generator_path(self.place), self.params.data)
        folder.write_facts(self.place, self.progress.began, **facts)  # not before what they tell of
        self.record.draw()
        self.checkpoints.save(self.progress.step)  # the last: what it speaks of is there by now
        self.saved = time.monotonic()

    def _add_row(self, scores: dict[str, float]) -> dict[str, float]:
        row = {"step": self.progress.step, **self.progress.means(), **scores}
        self.record.add_row(row)
        self._show(self.display.row, row, self.clock.seconds_a_step(row["step"]))
        return row

    def _add_grid(self) -> None:
        self.record.add_grid(self.plot(step=self.progress.step, model_name=self.place))

    def _read(self) -> None:
        """Fetch metrics from the device, which waits for it; look for trouble; show them."""
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
        self._show(self.display.progress, progress.step, progress.means(), rate)

    def _show(self, show: Callable[..., None], *what) -> None:
        """Have the display show something; where nobody sees it any more, ask to stop."""
        try:
            show(*what)
        except OSError:
            signals.silence_output()
            self.signals.append(signals.SIGPIPE)

    def _scores(self) -> dict[str, float]:
        with self.clock.paused():
            self._show(self.display.line, f"step {self.progress.step}: scoring 10,000 images")
            found = evaluation.evaluate(self.generator, self.params.seed, quick=True)
            found = evaluation.scalars(found)
            self._show(self.display.line, ", ".join(f"{k} {v:.4g}" for k, v in found.items()))
        return found

    def _check_weights(self) -> None:
        for model in self.generator, self.discriminator:
            if not all(np.isfinite(weight).all() for weight in model.get_weights()):
                what = f"a weight of the {model.name} after step {self.progress.step}"
                raise diverged(what, self.checkpoints.newest)


def diverged(what: str, newest: str | None) -> UserError:
    """What ends a run in which `what` is not finite, and whose newest checkpoint is `newest`."""
    last_good = f"the last good checkpoint is {newest}" if newest else "nothing was saved yet"
    return UserError(
        f"diverged, {what} is not finite; {last_good}; begin anew with other hyperparameters "
        "and --overwrite"
    )


def stopped(run: Run) -> Stopped:
    """What ends a run that was asked to stop, in this process or in another of its cluster."""
    signum = (run.signals or [signal.SIGTERM])[0]
    why = "standard output can't be written, " if signum == signals.SIGPIPE else ""
    return Stopped(
        f"{why}stopped after step {run.progress.step}, all of it saved, and the generator as it is "
        f"in {folder.generator_path(run.place)}; go on with: "
        f"{display.command(run.params, '--resume')}",
        status=128 + signum,
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
    print(display.command(params, "--resume", f"--train-steps={2 * steps}"))
    print(f"wrote {path} and {place}{os.sep}; sample with:")
    print(display.command(params, f"--generator={path}"), flush=True)
