"""What a run says while it trains."""

import math
import os
import shlex
import shutil
import subprocess
import sys
import textwrap
import time
from argparse import Namespace
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path

from lib import data
from lib.plumbing.tf import tf

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text


class Display:
    """Shows a bar on a terminal or in a notebook; elsewhere a plain line for each history row.

    A notebook that can't show a bar gets a line every few seconds, too.

    Attributes:
        live: a context; what is printed in it stands above the bar.
    """

    def __init__(self, done: int, train_steps: int):
        console = Console()
        # rich takes Spyder for a notebook; without ipywidgets it would warn and show nothing
        notebook = console.is_jupyter and "spyder_kernels" not in sys.modules
        terminal = console.is_interactive and sys.stdout.isatty()
        shown = find_spec("ipywidgets") if notebook else terminal
        self.pause = 10 if console.is_jupyter else math.inf  # seconds between lines
        self.printed = -math.inf
        self.live = Live(console=console, auto_refresh=False) if shown else nullcontext()
        self.bar = Progress(
            MofNCompleteColumn(),
            BarColumn(bar_width=None),  # as wide as the line allows
            TextColumn("{task.description}"),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            console=console,
            expand=True,
            speed_estimate_period=300,
        )
        self.bar.add_task("", completed=done, total=train_steps)

    def step_done(self, step: int, means: dict[str, float]) -> None:
        """Show in the bar how far the run is, and below as many metrics as fit on a line."""
        (task,) = self.bar.tasks
        self.bar.update(task.id, completed=step, description=self._rate())
        if isinstance(self.live, Live):
            metrics = " ".join(f"{name}={value:.3g}" for name, value in shortened(means))
            room = self.bar.console.width - 3  # lest ^C, which a terminal adds, takes a line
            line = textwrap.shorten(metrics, room, placeholder="")
            self.live.update(Group(self.bar, Text(line)), refresh=True)
        elif time.monotonic() - self.printed > self.pause:
            self.row({"step": step, **means})

    def row(self, row: dict[str, float]) -> None:
        """Print a row of the history where there is no bar."""
        if not isinstance(self.live, Live):
            metrics = shortened({name: value for name, value in row.items() if name != "step"})
            words = [f"{row['step']}/{self.bar.tasks[0].total}", self._rate()]
            words += [f"{name}: {value:.4g}" for name, value in metrics]
            print(" - ".join(filter(None, words)), flush=True)
            self.printed = time.monotonic()

    def _rate(self) -> str:
        """Return the mean time of the last minutes' steps, without the first of this process."""
        speed = self.bar.tasks[0].speed
        return f"{1 / speed:.3g} s/step" if speed else ""


def shortened(means: dict[str, float]) -> list[tuple[str, float]]:
    """Return metrics under short names, the most telling first.

    These are WGAN's estimate, then totals, then accuracies of labels before those of real and fake
    and the losses of each output. A critic's accuracies, which mean nothing, are left out.
    """
    short = {"discriminator": "d", "adversarial": "a", "accuracy": "acc", "wasserstein": "w"}
    critic = any(name.endswith("estimate") for name in means)

    def rank(name):
        total, loss = name.count("_") == 1, name.endswith("loss")
        return not name.endswith("estimate"), not total, total != loss, "source" in name

    return [
        ("_".join(short.get(word, word) for word in name.split("_")), means[name])
        for name in sorted(means, key=rank)
        if not (critic and name.endswith("accuracy"))
    ]


def header(folder: Path, draw: data.Sampler, params: Namespace, done: int) -> str:
    """Say in one line what is trained from what, where and how long."""
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
    devices = kind if replicas == 1 else f"{replicas} replicas on {kind}"
    step = f"resumed after step {done:,} of" if done else "steps:"
    return (
        f"{params.model_name}: {draw.dataset.description}; {devices}, {params.precision}, "
        f"seed {params.seed}, {step} {params.train_steps:,}; pictures in {folder}{os.sep}"
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
    return (subprocess.list2cmdline if os.name == "nt" else shlex.join)([*words, *options])
