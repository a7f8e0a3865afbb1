"""What shows how a run went: its history as a table, as curves and for TensorBoard, its grids as
an animation.
"""

import csv
import math
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from lib.pictures import encode_gif
from lib.plumbing.files import atomic, write
from lib.plumbing.tf import file_errors, tf

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

# What grows with the run is drawn again and again: a table of 40,000 rows takes 0.3 s each time,
# an animation of 1,000 grids 2 s.
TABLE_SECONDS = 5
MAX_FRAMES = 200
EVENTS = "tensorboard/events.out.tfevents"
FRECHET = "frechet_distance"


class Record:
    """history.csv, losses.png, scores.png, training.gif and TensorBoard's events in a run's folder.

    All are written anew from the rows and grids so far, so that none is doubled or missing.
    """

    def __init__(self, folder: Path, history: list[dict[str, float]], grids: list[Path]):
        self.folder = folder
        self.history = [*history]
        self.grids = []
        self.written = -math.inf
        self.in_use = set()
        events = folder / EVENTS
        events.parent.mkdir(exist_ok=True)
        with file_errors():
            self.events = tf.io.TFRecordWriter(str(events))
        self._add_event(file_version="brain.Event:2")
        for row in history:
            self._add_scalars(row)
        for grid in grids:
            self.add_grid(grid)
        self.save_table()

    def add_row(self, row: dict[str, float]) -> None:
        """Add a row to the history: `step`, and numbers by name."""
        self.history.append(row)
        self._add_scalars(row)
        if time.monotonic() - self.written > TABLE_SECONDS:
            self.save_table()
            self.written = time.monotonic()

    def save_table(self) -> None:
        """Write all rows as a table."""
        if self.history:
            self._replace("history.csv", write_table, self.history)

    def add_grid(self, grid: Path) -> None:
        """Show a sample grid, named after its step, in TensorBoard and the animation too.

        Leaves out one that is damaged.
        """
        frame = read_grid(grid)
        if frame is None:
            print(f"{grid} is damaged: left out", flush=True)
            return
        self.grids.append(grid)
        size = {"width": frame.width, "height": frame.height, "colorspace": 4}
        picture = {"encoded_image_string": grid.read_bytes(), **size}
        value = {"tag": "samples", "image": picture}
        self._add_event(step=int(grid.stem), summary={"value": [value]})

    def draw(self, first: list[dict[str, float]]) -> None:
        """Write the table, draw the curves and the animation; TensorBoard sees all of it.

        Args:
            first: a row for each of the first steps, drawn while the history has fewer rows.
        """
        with file_errors():
            self.events.flush()
        self.save_table()
        later = [row for row in self.history if row["step"] > len(first)]
        points = self.history if len(self.history) >= len(first) else first + later
        self._replace("losses.png", plot_losses, points)
        if scored := [row for row in self.history if FRECHET in row]:
            self._replace("scores.png", plot_scores, scored)
        if self.grids:
            self._replace("training.gif", write_gif, self.grids)

    def _replace(self, name: str, write: Callable[[list, Path], None], content: list) -> None:
        """Write a file anew, or say that it is in use, as on Windows while a program shows it."""
        try:
            write(content, self.folder / name)
            self.in_use.discard(name)
        except PermissionError:
            if name not in self.in_use:
                print(f"{self.folder / name} is in use: a later save replaces it", flush=True)
            self.in_use.add(name)

    def _add_scalars(self, row: dict[str, float]) -> None:
        values = [{"tag": n, "simple_value": value} for n, value in row.items() if n != "step"]
        self._add_event(step=row["step"], summary={"value": values})

    def _add_event(self, **fields) -> None:
        # tf.summary would ask for TensorBoard to be installed where the run is.
        event = tf.compat.v1.Event(wall_time=time.time(), **fields)
        with file_errors():
            self.events.write(event.SerializeToString())


def write_table(history: list[dict[str, float]], path: Path) -> None:
    """Write the rows as CSV; a name that a row lacks stays empty there."""
    columns = dict.fromkeys(name for row in history for name in row)
    with atomic(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(history)


def plot_losses(history: list[dict[str, float]], path: Path) -> None:
    """Draw all losses of the history over the steps, WGANs' estimates of the distance, penalties."""
    figure = Figure(layout="constrained")
    axes = figure.subplots()
    steps = [row["step"] for row in history]
    for name in history[0]:
        if name.endswith(("loss", "estimate", "penalty")):
            style = {"linewidth": 1, "marker": "." if len(steps) == 1 else None}
            axes.plot(steps, [row.get(name) for row in history], label=name, **style)
    if "wasserstein_estimate" in history[0]:  # it falls from 100 to 0.001, and may be negative
        usual = median(abs(row["wasserstein_estimate"]) for row in history)
        axes.set_yscale("symlog", linthresh=usual or 1)
    axes.set(xlabel="step")
    axes.legend()
    axes.grid(alpha=0.3)
    with atomic(path) as temporary:
        figure.savefig(temporary)


def plot_scores(scored: list[dict[str, float]], path: Path) -> None:
    """Draw the Fréchet distance over the steps; below precision, recall and coverage."""
    figure = Figure(layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    steps = [row["step"] for row in scored]
    for axes, names in (above, [FRECHET]), (below, ["precision", "recall", "coverage"]):
        for name in names:
            axes.plot(steps, [row[name] for row in scored], ".-", label=name, linewidth=1)
        axes.legend()
        axes.grid(alpha=0.3)
    above.set_yscale("log")
    below.set(xlabel="step", ylim=(0, 1))
    with atomic(path) as temporary:
        figure.savefig(temporary)


def best(history: list[dict[str, float]]) -> dict[str, float] | None:
    """Return the row with the lowest Fréchet distance, of several the first; None without any."""
    scored = [row for row in history if math.isfinite(row.get(FRECHET, math.nan))]
    return min(scored, key=lambda row: row[FRECHET], default=None)


def read_grid(path: Path) -> Image.Image | None:
    """Read a sample grid, in grey if it has no colour; return None where it is damaged."""
    try:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
        return Image.fromarray(pixels if np.ptp(pixels, axis=2).any() else pixels[..., 0])
    except (OSError, SyntaxError, ValueError):  # Pillow raises any of them
        return None


def write_gif(grids: list[Path], path: Path) -> None:
    """Write the grids as an animation, the last one held; leave out what can't be read.

    Of more than MAX_FRAMES, every second is shown, or every third, ..., and always the last.
    """
    shown = grids[:: -math.ceil(len(grids) / MAX_FRAMES)][::-1]
    frames = [frame for grid in shown if (frame := read_grid(grid))]
    if not frames:
        return
    write(path, encode_gif(frames, [200] * (len(frames) - 1) + [2000]))
