"""A training run: its loop, its progress, and a folder that survives interruption.

    run = Run(models, rng, params, plot)
    for _ in run:
        run.log(train_step())

The folder <output_dir>/<model_name>/ holds the sample grids (00500.png, ...),
history.csv, losses.png, training.gif, TensorBoard events, run.json (the run's facts) and
checkpoints. A checkpoint holds the complete state of the run; the history in all its
forms is written anew from there when a run is resumed.
"""

import csv
import json
import math
import os
import platform
import re
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from lib import distribute, scores
from lib.files import Stopped, UserError, atomic

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure
from PIL import Image
from tensorflow import keras

try:
    import fcntl
except ImportError:  # Windows: two processes on one run go unnoticed there
    fcntl = None

CHECKPOINT_SECONDS = 300
SAMPLING = ("generator", "digit", "count", "interpolate", "evaluate")
# Flags that don't change what is trained.
NOT_HYPERPARAMETERS = (
    "model_name",
    "output_dir",
    "plot_model",
    "distribute",
    "resume",
    "overwrite",
    *SAMPLING,
)


def figures(discriminator: keras.Model, adversarial: keras.Model) -> dict[str, tf.Tensor]:
    """The models' metrics over one step, as scalars; the next step's start afresh.

    Belongs at the end of a compiled step. The names are Keras's, behind the model's:
    discriminator_loss, discriminator_accuracy, adversarial_loss, ...
    """
    result = {}
    for name, model in ("discriminator", discriminator), ("adversarial", adversarial):
        for key, value in model.get_metrics_result().items():
            result[f"{name}_{key}"] = value
        model.reset_metrics()
    return result


class Progress(tf.train.experimental.PythonState):
    """What a checkpoint holds beside TensorFlow's variables."""

    def __init__(self):
        self.step = 0
        self.seconds = 0.0
        self.recent = []  # each step's figures since the last row of the history
        self.history = []  # their means, a row every log_interval steps

    def serialize(self) -> str:
        return json.dumps([self.step, self.seconds, self.recent, self.history])

    def deserialize(self, string_value) -> None:
        self.step, self.seconds, self.recent, self.history = json.loads(string_value)

    def means(self) -> dict[str, float]:
        """The mean of each figure since the last row."""
        return {
            name: float(np.mean([values[name] for values in self.recent]))
            for name in self.recent[0]
        }


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


@contextmanager
def file_errors() -> Iterator[None]:
    """TensorFlow's file errors as Python's."""
    try:
        yield
    except tf.errors.OpError as error:
        raise OSError(error.message.splitlines()[0]) from error


def folder_of(params) -> Path:
    """The folder of the run that `params` describes."""
    return Path(params.output_dir) / params.model_name


def sample_grids(folder: Path, last_step: float = math.inf) -> list[Path]:
    """The sample grids in a run's folder up to a step, in order."""
    grids = [path for path in folder.glob("*.png") if re.fullmatch(r"\d{5,}", path.stem)]
    grids.sort(key=lambda path: int(path.stem))
    return [path for path in grids if int(path.stem) <= last_step]


def recorded_hyperparameters(params) -> dict:
    """What the run in `params`' folder began with; UserError where none lies."""
    try:
        return json.loads((folder_of(params) / "run.json").read_text())["hyperparameters"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"there is no run to resume in {folder_of(params)}: leave out --resume"
        ) from error


class Run:
    """Iterates over the training steps that are left.

    The loop's body hands each step's figures to `log`; between two steps the run shows,
    draws and saves what is due.

    Args:
        models: (generator, discriminator, adversarial), the last two compiled.
        rng: draws all random numbers of the steps.
        params: train_steps, save_interval, log_interval and the other hyperparameters;
            beside them model_name, output_dir, resume, overwrite.
        plot: draws the sample grid; called with `step` and, as `model_name`, the folder.

    Iterating raises:
        UserError: the folder holds another run, is in use, or has no run to resume; or a
            figure or a weight is no longer finite.
        OSError: the folder can't be written.
        Stopped: after SIGINT or SIGTERM, once the step is done and saved.
    """

    def __init__(self, models, rng: tf.random.Generator, params, plot: Callable[..., Path]):
        self.generator, self.discriminator, self.adversarial = models
        self.rng = rng
        self.params = params
        self.plot = plot
        self.folder = folder_of(params)
        self.weights_file = self.folder.with_name(f"{params.model_name}.h5")
        self.progress = Progress()
        self.unread = []

    def log(self, step_figures: dict[str, tf.Tensor]) -> None:
        """Take a step's figures, as `figures` returns them. They stay on the device."""
        self.unread.append(step_figures)

    def __iter__(self) -> Iterator[int]:
        if self.params.evaluate_interval:
            scores.check(self.generator)
        if self.params.plot_model:
            plot_model(self.generator, self.discriminator, self.params.plot_model)
        with self._own_folder(), deferred_signals() as received:
            self._restore()
            self._begin_events()
            now = time.monotonic()
            self.shown, self.saved, self.started = -math.inf, now, now - self.progress.seconds
            self.bar = keras.utils.Progbar(self.params.train_steps, width=10, stateless_metrics=[])
            self.bar._start -= self.progress.seconds  # for the ETA of a resumed run
            try:
                while self.progress.step < self.params.train_steps:
                    yield self.progress.step + 1
                    # asked once: a signal may come at any moment
                    stopping = distribute.anywhere(bool(received))
                    self._close_step(stopping)
                    if stopping:
                        raise Stopped(
                            f"stopped after step {self.progress.step}, all of it saved; "
                            f"go on with: {self._command('--resume')}",
                            status=128 + (received or [signal.SIGTERM])[0],
                        )
            except Exception:
                print()  # ends the bar's line
                raise
            self._finish()

    def _close_step(self, stopping: bool) -> None:
        """Count the step; show, draw and save what is due."""
        progress, params = self.progress, self.params
        progress.step += 1
        scores_due = params.evaluate_interval and progress.step % params.evaluate_interval == 0
        row_due = scores_due or progress.step % params.log_interval == 0
        picture_due = progress.step % params.save_interval == 0
        ending = stopping or progress.step == params.train_steps
        save_due = picture_due or ending or time.monotonic() - self.saved > CHECKPOINT_SECONDS
        if row_due or save_due or time.monotonic() - self.shown > 0.5:
            self._read()
        if save_due or scores_due:
            self._check_weights()
        if row_due:
            row = {"step": progress.step, **progress.means()}
            if scores_due:
                row |= self._scores()
            progress.history.append(row)
            progress.recent.clear()
            self._write_history()
            self._add_scalars(progress.history[-1])
        if picture_due:
            self._add_grid(self.plot(step=progress.step, model_name=self.folder))
        if save_due:
            self._save()

    def _scores(self) -> dict[str, float]:
        """The generator's scores; the time that they take is no training time."""
        before = time.monotonic()
        found = scores.totals(scores.evaluate(self.generator, self.params.seed))
        seconds = time.monotonic() - before
        self.started += seconds
        self.bar._start += seconds
        return found

    def _read(self) -> None:
        """Fetch figures from the device, which waits for it; look for trouble; show them."""
        progress = self.progress
        first = progress.step - len(self.unread) + 1
        for step, tensors in enumerate(self.unread, first):
            values = {name: float(tensor) for name, tensor in tensors.items()}
            for name, value in values.items():
                if not math.isfinite(value):
                    self._diverged(f"{name} at step {step}")
            progress.recent.append(values)
        self.unread.clear()
        self.bar.update(progress.step, bar_figures(progress.means()))
        self.shown = time.monotonic()

    def _check_weights(self) -> None:
        for model in self.generator, self.discriminator:
            if not all(np.isfinite(weight).all() for weight in model.get_weights()):
                self._diverged(f"a weight of the {model.name} after step {self.progress.step}")

    def _diverged(self, what: str) -> None:
        raise UserError(
            f"diverged, {what} is not finite; the last good checkpoint is "
            f"{self.manager.latest_checkpoint}; begin anew with other hyperparameters and --overwrite"
        )

    def _save(self) -> None:
        """Write a checkpoint, and what shows the history so far."""
        progress = self.progress
        progress.seconds = time.monotonic() - self.started
        with file_errors():
            self.manager.save(checkpoint_number=progress.step)
            self.events.flush()
        self.saved = time.monotonic()
        if progress.history:
            plot_losses(progress.history, self.folder / "losses.png")
        if grids := sample_grids(self.folder, progress.step):
            write_gif(grids, self.folder / "training.gif")

    def _finish(self) -> None:
        """Write the generator and say how to sample from it."""
        with atomic(self.weights_file) as path:
            portable(self.generator).save(path)
        progress = self.progress
        self._write_facts(
            ended=timestamp(),
            steps=progress.step,
            steps_per_second=round(progress.step / progress.seconds, 3),
        )
        print(
            f"wrote {self.weights_file} and {self.folder}{os.sep}; sample with: "
            f"{self._command(f'--generator={self.weights_file}')}"
        )

    @contextmanager
    def _own_folder(self) -> Iterator[None]:
        """Hold the run's folder against other processes; refuse what would lose a run."""
        params = self.params
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / ".lock", "w") as lock:
            try:
                if fcntl:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UserError(
                    f"another process trains in {self.folder}: wait, stop it, or give "
                    "another --output-dir"
                ) from error
            if params.resume:
                self._check_hyperparameters()
            elif params.overwrite:
                self._clear()
            elif (self.folder / "run.json").exists() or self.weights_file.exists():
                raise UserError(
                    f"a run lies in {self.folder} or {self.weights_file}: go on with --resume, "
                    "replace it with --overwrite, or give another --output-dir"
                )
            yield

    def _check_hyperparameters(self) -> None:
        given = self._hyperparameters()
        for name, began in recorded_hyperparameters(self.params).items():
            grown = name == "train_steps" and given[name] > began
            if given[name] != began and not grown:
                raise UserError(
                    f"the run in {self.folder} has {name} {began}, not {given[name]}: resume it as "
                    "it began (train_steps alone may grow), or begin anew with --overwrite"
                )

    def _clear(self) -> None:
        """Remove the files of an earlier run, and no others."""
        for name in "checkpoints", "tensorboard":
            shutil.rmtree(self.folder / name, ignore_errors=True)
        for name in "run.json", "history.csv", "losses.png", "training.gif":
            (self.folder / name).unlink(missing_ok=True)
        for path in sample_grids(self.folder):
            path.unlink()
        self.weights_file.unlink(missing_ok=True)

    def _restore(self) -> None:
        """Show the models, take up the state of a run to resume, and record the facts."""
        for model in self.discriminator, self.generator, self.adversarial:
            model.summary()
        # As Keras's fit does: under tf.distribute, a step can't create metrics and slots.
        outputs = self.discriminator.output
        self.discriminator._symbolic_build(data_batch=(self.discriminator.input, outputs))
        self.adversarial._symbolic_build(data_batch=(self.generator.input, outputs))
        checkpoint = tf.train.Checkpoint(
            generator=self.generator,
            discriminator=self.discriminator,
            discriminator_optimizer=self.discriminator.optimizer,
            adversarial_optimizer=self.adversarial.optimizer,
            rng=self.rng,
            progress=self.progress,
        )
        self.manager = tf.train.CheckpointManager(
            checkpoint, self.folder / "checkpoints", max_to_keep=2
        )
        checkpoint.save_counter  # noqa: B018  (created here, by all workers together)
        if self.manager.latest_checkpoint:
            try:
                with file_errors():
                    checkpoint.restore(self.manager.latest_checkpoint).assert_consumed()
            except (ValueError, AssertionError) as error:
                raise UserError(
                    f"{self.manager.latest_checkpoint} is of another version of these scripts: "
                    "begin anew with --overwrite, or give another --output-dir"
                ) from error
            print(f"resumed after step {self.progress.step}")
        self._write_facts()

    def _begin_events(self) -> None:
        """Write the history so far anew, so that it has no doubled and no missing rows."""
        shutil.rmtree(self.folder / "tensorboard", ignore_errors=True)
        (self.folder / "tensorboard").mkdir()
        self.events = tf.io.TFRecordWriter(str(self.folder / "tensorboard" / "events.out.tfevents"))
        self._add_event(file_version="brain.Event:2")
        for row in self.progress.history:
            self._add_scalars(row)
        for grid in sample_grids(self.folder, self.progress.step):
            self._add_grid(grid)
        if self.progress.history:
            self._write_history()

    def _write_history(self) -> None:
        history = self.progress.history
        with atomic(self.folder / "history.csv") as path, open(path, "w", newline="") as file:
            columns = dict.fromkeys(name for row in history for name in row)
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(history)

    def _add_event(self, **fields) -> None:
        # tf.summary would ask for TensorBoard to be installed where the run is.
        event = tf.compat.v1.Event(wall_time=time.time(), **fields)
        self.events.write(event.SerializeToString())

    def _add_scalars(self, row: dict[str, float]) -> None:
        values = [{"tag": n, "simple_value": value} for n, value in row.items() if n != "step"]
        self._add_event(step=row["step"], summary={"value": values})

    def _add_grid(self, grid: Path) -> None:
        with Image.open(grid) as image:
            size = {"width": image.width, "height": image.height, "colorspace": 4}
        picture = {"encoded_image_string": grid.read_bytes(), **size}
        value = {"tag": "samples", "image": picture}
        self._add_event(step=int(grid.stem), summary={"value": [value]})

    def _hyperparameters(self) -> dict:
        return {n: value for n, value in vars(self.params).items() if n not in NOT_HYPERPARAMETERS}

    def _write_facts(self, **facts) -> None:
        """Add `facts` to run.json, which begins with how and where the run began."""
        path = self.folder / "run.json"
        known = json.loads(path.read_text()) if path.exists() else run_facts()
        facts = known | {"hyperparameters": self._hyperparameters()} | facts
        with atomic(path) as temporary:
            temporary.write_text(json.dumps(facts, indent=2) + "\n")

    def _command(self, flag: str) -> str:
        """How to start this script again, with this Python, in this place and with `flag`."""
        known = Path(shutil.which("python3") or "").parent == Path(sys.executable).parent
        words = ["python3" if known else os.path.relpath(sys.executable), sys.argv[0]]
        if self.params.output_dir != ".":
            words.append(f"--output-dir={self.params.output_dir}")
        if flag == "--resume" and self.params.distribute:
            words.append(f"--distribute={self.params.distribute}")
        return shlex.join([*words, flag])


def plot_model(generator: keras.Model, discriminator: keras.Model, path: str | Path) -> None:
    """Draw both networks in a row, layer by layer with their shapes (Fig. 8.9).

    Raises:
        UserError: Keras can't draw here.
    """
    noise, *labels = [keras.Input(tensor.shape[1:]) for tensor in generator.inputs]
    images = generator([noise, *labels] if labels else noise)
    judged = [images, *labels] if len(discriminator.inputs) > 1 else images
    whole = keras.Model([noise, *labels], discriminator(judged))
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as temporary:
        try:
            keras.utils.plot_model(
                whole,
                temporary,
                show_shapes=True,
                show_layer_activations=True,
                expand_nested=True,
                dpi=100,
            )
        except ImportError as error:
            raise UserError(f"--plot-model can't draw here. {error}") from error
    print(f"drew the networks in {path}")


def portable(model: keras.Model) -> keras.Model:
    """A copy in float32 and of Keras's own layers, which any Keras 3 can load."""

    def plain(layer):
        config = layer.get_config() | {"dtype": "float32"}
        return getattr(keras.layers, type(layer).__name__).from_config(config)

    copy = keras.models.clone_model(model, clone_function=plain)
    copy.set_weights(model.get_weights())
    return copy


def run_facts() -> dict:
    """When, where and with what a run begins."""
    return {
        "started": timestamp(),
        "versions": {
            "python": platform.python_version(),
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "numpy": np.__version__,
        },
        "machine": {
            "platform": platform.platform(),
            "cores": os.cpu_count(),
            "devices": [device.name for device in tf.config.list_logical_devices()],
        },
    }


def timestamp() -> str:
    """The time in ISO 8601, with the zone."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


def bar_figures(means: dict[str, float]) -> list[tuple[str, float]]:
    """As many figures as a line of the terminal takes: totals first, losses before accuracies."""
    room = shutil.get_terminal_size((120, 0)).columns - 42  # beside the bar and the times
    short = {"discriminator": "d", "adversarial": "a", "accuracy": "acc"}
    result = []
    for name in sorted(means, key=lambda name: (name.count("_"), not name.endswith("loss"))):
        label = "_".join(short.get(word, word) for word in name.split("_"))
        room -= len(label) + 12
        if room >= 0:
            result.append((label, means[name]))
    return result


def plot_losses(history: list[dict[str, float]], path: Path) -> None:
    """Draw every loss of the history over the steps."""
    figure = Figure(layout="constrained")
    axes = figure.subplots()
    steps = [row["step"] for row in history]
    for name in history[0]:
        if name.endswith("loss"):
            axes.plot(steps, [row[name] for row in history], label=name, linewidth=1)
    axes.set(xlabel="step", ylabel="loss")
    axes.legend()
    axes.grid(alpha=0.3)
    with atomic(path) as temporary:
        figure.savefig(temporary)


def write_gif(grids: list[Path], path: Path) -> None:
    """The grids as an animation, the last one held."""
    frames = []
    for grid in grids:
        with Image.open(grid) as image:
            frames.append(image.convert("L"))
    durations = [200] * (len(frames) - 1) + [2000]
    with atomic(path) as temporary:
        frames[0].save(
            temporary, save_all=True, append_images=frames[1:], duration=durations, loop=0
        )
