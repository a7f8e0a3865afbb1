"""A training run: which step is next, and what is due after it.

    with open_run(models, draw, params, plot) as run:
        for step in run.steps():
            run.log(step, train_step())

The folder <output_dir>/<model_name>/ holds the sample grids (00500.png, ...), checkpoints/,
generators/, TensorBoard's events, and the files of `folder.FILES`, which --overwrite removes. A
checkpoint holds the complete state of the run; the history in all its forms is written anew from
there when a run is resumed.
"""

import math
import os
import signal
import sys
import threading
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from lib import data
from lib.pictures import draw_dataset
from lib.plumbing.errors import Finished, Stopped, UserError
from lib.plumbing.files import write
from lib.plumbing.tf import keras, tf
from lib.scoring import evaluation
from lib.scoring.table import scalars
from lib.training import distribute, folder
from lib.training.checkpoints import Checkpoints, read_progress
from lib.training.defaults import DEFAULTS
from lib.training.diagram import plot_model, write_summaries
from lib.training.display import Display, header, how_to
from lib.training.record import FRECHET, Record, best
from lib.training.step import prepare

import numpy as np

CHECKPOINT_SECONDS = 300
EARLY_GRIDS = (1, 100)
FIRST_STEPS = 50  # drawn one by one
STOP = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


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
        plot: writes the sample grid; called with `step` and, as `model_name`, the folder.

    Raises:
        UserError: the folder has another run, is in use, or has no run to resume; or a
            metric or a weight is no longer finite.
        OSError: the folder can't be written.
        Stopped: after Ctrl-C, SIGTERM or SIGHUP, once the step is done and saved.
        Finished: the resumed run has ended, or --plot-model was given.
    """
    params = Namespace(**DEFAULTS | vars(params))
    generator, discriminator, _ = models
    if params.plot_model:
        plot_model(generator, discriminator, params.plot_model)
        raise Finished("nothing is left to do")
    path = folder.run_folder(params)
    metadata = folder.describe(params, draw)
    distribute.check_alike(metadata["data_sha256"])
    reference = None
    if params.evaluate_interval:
        # a thread of its own is under no strategy, which would train the classifier on all replicas
        with ThreadPoolExecutor(1) as alone:
            arguments = evaluation.reference_for, generator, draw.dataset, params
            reference = alone.submit(*arguments).result()
    prepare(models, draw)
    with folder.claimed(path, params.resume, params.overwrite), stop_requests() as signals:
        checkpoints = Checkpoints(path, models, draw.rng)
        progress = checkpoints.progress
        if params.resume:
            folder.check_same_run(path, read_progress(path).metadata, metadata)
            checkpoints.restore()
            if progress.step > params.train_steps:
                raise UserError(
                    f"the run in {path} has taken {progress.step} steps already: give "
                    f"--train-steps={progress.step} to end it there, or more"
                )
            recorded = progress.metadata["parameters"]["train_steps"]
            if progress.step == params.train_steps == recorded:
                print(ending(path, params, progress.history), flush=True)
                raise Finished("nothing is left to do")
        progress.metadata = metadata | progress.metadata | {"parameters": metadata["parameters"]}
        print(header(path, draw, params, progress.step), flush=True)
        folder.write_metadata(path, progress.metadata)
        write(path / "real.png", draw_dataset(draw.dataset))
        write_summaries(models, path / "networks.txt", show=params.summary)
        run = Run(path, models, params, plot, checkpoints, signals, reference)
        try:
            with run.display.live:
                yield run
            if progress.step == params.train_steps:  # not where the loop was left early
                rate = round(progress.step / run.seconds(), 3)
                run.close(ended=folder.timestamp(), steps=progress.step, steps_per_second=rate)
                print(ending(path, params, progress.history), flush=True)
        except Exception:
            if progress.step == 0:  # a step that can't be taken leaves nothing in the way
                folder.clear(path)
            with suppress(OSError):  # the last rows tell how a run diverged
                run.record.save_table()
            raise


class Run:
    """Counts the steps of a run; after each shows, draws and saves what is due.

    Goes on from `checkpoints`, in the claimed folder `path`; stops when `signals` has a number;
    scores against `reference`.
    """

    def __init__(self, path: Path, models, params, plot, checkpoints, signals: list, reference):
        self.path = path
        self.generator, self.discriminator, adversarial = models
        self.optimizer = adversarial.optimizer
        self.params = params
        self.plot = plot
        self.checkpoints = checkpoints
        self.signals = signals
        self.reference = reference
        self.progress = checkpoints.progress
        grids = []
        for grid in folder.sample_grids(path):
            step = int(grid.stem)
            if step < self.progress.step or (step == self.progress.step and self._grid_due(step)):
                grids.append(grid)
            elif step <= params.train_steps:
                # drawn after the checkpoint from which the run goes on
                for later in grid, *path.glob(f"code?/{grid.name}"):
                    later.unlink()
        self.record = Record(path, self.progress.history, grids)
        self.display = Display(self.progress.step, params.train_steps)
        self.unread = []  # metrics that are still on the device
        self.shown, self.saved = -math.inf, time.monotonic()
        self.began = self.saved - self.progress.seconds

    def steps(self) -> Iterator[int]:
        """Yield the steps that are left, counted from 1."""
        yield from range(self.progress.step + 1, self.params.train_steps + 1)

    def seconds(self) -> float:
        """Return how long the run has trained, its earlier processes included, scoring left out."""
        return time.monotonic() - self.began

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
        keep_due = self.params.keep_interval and step % self.params.keep_interval == 0
        save_due = grid_due or ending or overdue

        if show := row_due or save_due or keep_due or time.monotonic() - self.shown > 0.5:
            self._read()
            means = self.progress.means()
        if save_due or scores_due or keep_due:
            self._check_weights()
        if row_due:
            row = self._add_row(self._scores() if scores_due else {})
            self.progress.history.append(row)
            self.progress.recent.clear()
            if scores_due and best(self.progress.history) is row:
                self._save_generator(folder.best_path(self.path))
        if keep_due:
            self._save_generator(self.path / "generators" / f"{step:05}.h5")
        if grid_due:
            self._add_grid()
        if save_due and not ending:
            self._save()
        if show:
            self.display.step_done(step, means)
            self.shown = time.monotonic()
        if stopping:
            self.close()
            raise Stopped(
                f"stopped after step {step}, all of it saved, and the generator as it is in "
                f"{folder.generator_path(self.path)}; go on with: "
                f"{how_to(self.params, '--resume')}",
                signum=(self.signals or [signal.SIGTERM])[0],  # or a worker elsewhere got it
            )

    def _grid_due(self, step: int) -> bool:
        return step in EARLY_GRIDS or step % self.params.save_interval == 0

    def close(self, **ended) -> None:
        """Save all, with a row and a grid of the last step, if none was due.

        The checkpoint omits these: a resumed run equals one that never stopped. What it `ended`
        with goes into run.json.
        """
        if self.progress.recent:
            self._add_row({})
        if not self._grid_due(self.progress.step):
            self._add_grid()
        self._save(**ended)

    def _save(self, **ended) -> None:
        self.progress.seconds = self.seconds()
        self._save_generator(folder.generator_path(self.path))
        folder.write_metadata(self.path, self.progress.metadata | ended)
        self.record.draw(self.progress.first)
        self.checkpoints.save(self.progress.step)  # last: what it counts as done is on disk
        self.saved = time.monotonic()

    def _save_generator(self, path: Path) -> None:
        with averaged(self.optimizer):
            self.generator.trained.save(path, step=self.progress.step)

    def _add_row(self, scores: dict[str, float]) -> dict[str, float]:
        row = {"step": self.progress.step, **self.progress.means(), **scores}
        self.record.add_row(row)
        self.display.row(row)
        return row

    def _add_grid(self) -> None:
        with averaged(self.optimizer):
            grid = self.plot(step=self.progress.step, model_name=self.path)
        self.record.add_grid(grid)

    def _read(self) -> None:
        """Wait for the device and fetch metrics from it; check them."""
        progress = self.progress
        for step, tensors in enumerate(self.unread, progress.step - len(self.unread) + 1):
            values = {name: float(tensor) for name, tensor in tensors.items()}
            for name, value in values.items():
                if not math.isfinite(value):
                    raise self._diverged(f"{name} at step {step}")
            progress.recent.append(values)
            if step <= FIRST_STEPS:
                progress.first.append({"step": step, **values})
        self.unread.clear()

    def _scores(self) -> dict[str, float]:
        start, reference = time.monotonic(), self.reference
        print(f"step {self.progress.step}: scoring {len(reference.labels):,} images", flush=True)
        with averaged(self.optimizer):
            found = evaluation.evaluate(
                self.generator, self.params.seed, quick=True, reference=reference
            )
        scores = scalars(found)
        print(", ".join(f"{name} {v:.4g}" for name, v in scores.items()), flush=True)
        self.began += time.monotonic() - start
        return scores

    def _check_weights(self) -> None:
        for model in self.generator, self.discriminator:
            if not all(np.isfinite(weight).all() for weight in model.get_weights()):
                what = f"a weight of the {model.name} after step {self.progress.step}"
                raise self._diverged(what)

    def _diverged(self, what: str) -> UserError:
        newest = self.checkpoints.newest
        last_good = f"the last good checkpoint is {newest}" if newest else "nothing was saved yet"
        return UserError(
            f"diverged, {what} is not finite; {last_good}; begin anew with other hyperparameters "
            "and --overwrite"
        )


@contextmanager
def averaged(optimizer: keras.optimizers.Optimizer) -> Iterator[None]:
    """In this context, give the weights their averages, where the optimizer keeps such (use_ema)."""
    averages = optimizer._model_variables_moving_average if optimizer.use_ema else []

    def swap():
        for weight, average in zip(optimizer._trainable_variables, averages, strict=False):
            value = weight.numpy()
            weight.assign(average)
            average.assign(value)

    swap()
    try:
        yield
    finally:
        swap()


def ending(path: Path, params: Namespace, history: list[dict[str, float]]) -> str:
    """Say that a run ended, how to let it grow, how to sample from its generator; name the best."""
    steps, generator = params.train_steps, folder.generator_path(path)
    lines = [
        f"finished after step {steps}; more steps with:",
        how_to(params, "--resume", f"--train-steps={2 * steps}"),
        f"wrote {generator} and {path}{os.sep}",
    ]
    if params.command:
        lines[-1] += "; sample with:"
        lines.append(how_to(params, f"--generator={generator}"))
    if row := best(history):
        where = f"{folder.best_path(path)}, of step {row['step']}"
        lines.append(f"the best generator: {where}, FD {row[FRECHET]:.2f}")
    return "\n".join(lines)


@contextmanager
def stop_requests() -> Iterator[list[int]]:
    """Collect the first SIGINT, SIGTERM or SIGHUP in a list, instead of dying of it.

    `Run.log` reads the list after each step, saves and stops. The first signal restores the old
    handlers: a second Ctrl-C raises KeyboardInterrupt. Ignored signals stay ignored (`nohup`, a
    shell's `&`). Outside the main thread none is collected.
    """
    received, before = [], {}

    def put_back():
        for signum in [*before]:
            signal.signal(signum, before.pop(signum))

    def note(signum, _frame):
        received.append(signum)
        put_back()
        print("finishing this step; Ctrl-C again stops at once", file=sys.stderr)

    if threading.current_thread() is threading.main_thread():
        for signum in STOP:
            if signal.getsignal(signum) not in (signal.SIG_IGN, None):
                before[signum] = signal.signal(signum, note)
    try:
        yield received
    finally:
        put_back()
