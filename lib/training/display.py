"""What a run says while it trains."""

import os
import shlex
import shutil
import sys
from argparse import Namespace
from pathlib import Path

from lib import data
from lib.plumbing.tf import keras, tf


class Progbar(keras.utils.Progbar):
    """Keras's progress bar, told how long a step takes.

    Keras divides the time since it was made by all the steps: wrong for a run that was
    resumed, or that spends time on anything but steps.
    """

    def __init__(self, target: int):
        super().__init__(target, width=10, stateless_metrics=[])
        self.seconds_a_step = 0.0

    def _estimate_step_duration(self, current, now):
        return self.seconds_a_step


class Display:
    """Shows a progress bar on a terminal; elsewhere a plain line for each row of the history.

    Args:
        train_steps: of the whole run.
    """

    def __init__(self, train_steps: int):
        self.train_steps = train_steps
        self.bar = Progbar(train_steps) if sys.stdout.isatty() else None
        self.bar_open = False

    def progress(self, step: int, means: dict[str, float], seconds_a_step: float) -> None:
        """Show how far the run is, where that can be shown in place."""
        if self.bar:
            self.bar.seconds_a_step = seconds_a_step
            self.bar.update(step, bar_metrics(means))
            self.bar_open = step < self.train_steps

    def row(self, row: dict[str, float], seconds_a_step: float) -> None:
        """Show a row of the history where there is no bar."""
        if not self.bar:
            row = dict(row)
            step = row.pop("step")
            metrics = " - ".join(f"{label}: {value:.4g}" for label, value in shortened(row))
            print(
                f"{step}/{self.train_steps} - {seconds_a_step:.3g} s/step - {metrics}", flush=True
            )

    def line(self, text: str) -> None:
        """Print a line of its own, below the bar."""
        self.end_line()
        print(text, flush=True)

    def end_line(self) -> None:
        """End the bar's line, so that what follows begins a new one."""
        if self.bar_open:
            print(flush=True)
            self.bar_open = False


def shortened(means: dict[str, float]) -> list[tuple[str, float]]:
    """Return metrics under short names: WGAN's estimate, then totals, losses before accuracies.

    A critic's accuracies, which mean nothing, are left out.
    """
    short = {"discriminator": "d", "adversarial": "a", "accuracy": "acc", "wasserstein": "w"}
    critic = any(name.endswith("estimate") for name in means)

    def rank(name):
        return not name.endswith("estimate"), name.count("_"), not name.endswith("loss")

    return [
        ("_".join(short.get(word, word) for word in name.split("_")), means[name])
        for name in sorted(means, key=rank)
        if not (critic and name.endswith("accuracy"))
    ]


def bar_metrics(means: dict[str, float]) -> list[tuple[str, float]]:
    """Return as many of the `shortened` metrics as a line of the terminal takes."""
    room = shutil.get_terminal_size((120, 0)).columns - 41  # beside the bar and the times
    result = []
    for label, value in shortened(means):
        room -= len(f" - {label}: {value:.4f}" if abs(value) > 1e-3 else f" - {label}: {value:.4e}")
        if room >= 0:
            result.append((label, value))
    return result


def header(folder: Path, draw: data.Sampler, params: Namespace, done: int) -> str:
    """Say in one line what is trained from what, where and how long."""
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
    devices = kind if replicas == 1 else f"{replicas} replicas on {kind}"
    step = f"resumed after step {done:,} of" if done else "steps:"
    return (
        f"{params.model_name}: {draw.dataset.description}; {devices}, {params.precision}, seed {params.seed}, "
        f"{step} {params.train_steps:,}; pictures in {folder}{os.sep}"
        + ("" if done else ", the first after step 1")
    )


def how_to(params: Namespace, *options: str) -> str:
    """Say how to start this script again with `options`, or what to do in code of one's own."""
    if not params.command:
        settings = (option.lstrip("-").replace("-", "_").partition("=") for option in options)
        return "; ".join(f"params.{name} = {value or True}" for name, _, value in settings)
    python = Path(sys.executable)
    if Path(shutil.which("python3") or "").parent == python.parent:
        python = "python3"
    elif python.is_relative_to(Path.cwd()):
        python = python.relative_to(Path.cwd())
    words = [str(python), params.command]
    if params.output_dir != ".":
        words.append(f"--output-dir={params.output_dir}")
    if "--resume" in options:
        if params.model_name != params.script:
            words.append(f"--model-name={params.model_name}")
        if params.distribute:
            words.append(f"--distribute={params.distribute}")
    return shlex.join([*words, *options])
