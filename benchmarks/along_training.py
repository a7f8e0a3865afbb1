"""What histories and sample grids show along training: curves, WGAN's estimate, a steady look."""

import csv
import functools
from itertools import pairwise
from pathlib import Path

from lib import data
from lib.pictures import GAP

import matplotlib.pyplot as plt
import numpy as np
from lib.errors import UserError
from lib.files import atomic, reading
from lib.folder import sample_grids
from matplotlib.figure import Figure

CURVES = {
    "frechet_distance": "Fréchet distance",
    "coverage": "coverage",
    "recall": "recall",
    "total_variation": "total variation of the digits' shares",
}
SIDE = 28
ADVICE = "train the run anew"
SMALLEST = 1e-3  # of WGAN's estimates: what is nearer to 0, or negative, is drawn linearly


def scored_rows(folder: Path, *columns: str) -> list[dict[str, float]]:
    """The rows of a run's history that hold scores, and at least the step and these columns.

    Raises:
        UserError: it is damaged.
    """
    path = folder / "history.csv"
    with reading(path, ".csv", "the scores of a run", ADVICE), open(path, newline="") as file:
        rows = [row for row in csv.DictReader(file) if row.get("frechet_distance")]
        rows = [
            {
                name: (int if name == "step" else float)(value)
                for name, value in row.items()
                if value
            }
            for row in rows
        ]
        if not rows or any(name not in row for row in rows for name in ("step", *columns)):
            raise ValueError("no rows of scores")
    return rows


def plot_curves(folders: dict[str, Path], path: Path) -> None:
    """Draw the scores of several runs over the steps."""
    figure = Figure(figsize=(9, 6.5), layout="constrained")
    for axes, (key, label) in zip(figure.subplots(2, 2).flat, CURVES.items(), strict=True):
        for name, folder in folders.items():
            rows = [row for row in scored_rows(folder) if key in row]
            steps = [row["step"] for row in rows]
            axes.plot(steps, [row[key] for row in rows], ".-", label=name)
        if key == "frechet_distance":
            axes.set_yscale("log")
        else:
            axes.set_ylim(-0.03, 1.03)
        axes.set(xlabel="step", ylabel=label)
        axes.xaxis.get_major_locator().set_params(integer=True, nbins=5)
        axes.grid(alpha=0.3)
    axes.legend()
    save(figure, path)


def plot_estimates(folders: dict[str, Path], path: Path) -> None:
    """Draw WGAN's estimate of the distance and the Fréchet distance, over the steps and against
    each other, a row of each run.
    """
    figure = Figure(figsize=(9, 3.2 * len(folders)), layout="constrained")
    for row, (label, folder) in zip(
        figure.subplots(len(folders), 2, squeeze=False), folders.items(), strict=True
    ):
        rows = scored_rows(folder, "wasserstein_estimate")
        steps, estimates, distances = (
            [row[key] for row in rows]
            for key in ("step", "wasserstein_estimate", "frechet_distance")
        )
        for values, name in (estimates, "WGAN's estimate"), (distances, "Fréchet distance"):
            row[0].plot(steps, values, ".-", label=name)
        row[0].set(title=label, xlabel="step")
        row[0].set_yscale("symlog", linthresh=SMALLEST)
        row[0].legend()
        points = row[1].scatter(estimates, distances, c=steps, s=12)
        row[1].set(xlabel="WGAN's estimate", ylabel="Fréchet distance", yscale="log")
        row[1].set_xscale("symlog", linthresh=SMALLEST)
        row[1].set_xlim(min(estimates) - SMALLEST, 2 * max(estimates))
        figure.colorbar(points, ax=row[1], label="step")
        for axes in row:
            axes.grid(alpha=0.3)
    save(figure, path)


def estimate_against_distance(folder: Path) -> str:
    """How well the ranks of WGAN's estimates agree with those of the Fréchet distances."""
    rows = scored_rows(folder, "wasserstein_estimate")
    if len(rows) < 2:
        return "scored once, which tells nothing of its estimate"
    found = rank_correlation(
        [row["wasserstein_estimate"] for row in rows], [row["frechet_distance"] for row in rows]
    )
    return (
        f"rank correlation of its estimate with the Fréchet distance {found:.2f}, "
        f"over {len(rows)} points from step {rows[0]['step']} to {rows[-1]['step']}"
    )


def rank_correlation(x, y) -> float:
    """Spearman's rank correlation of two sequences without ties: from -1 to 1."""
    ranks = [np.argsort(np.argsort(values)) for values in (x, y)]
    return float(np.corrcoef(ranks)[0, 1])


def movement_table(folders: dict[str, Path], columns: int = 8) -> str:
    """Markdown: how far the images of a grid move to the next one, as `movement`."""
    lines = []
    for label, folder in folders.items():
        steps, moved = movement(folder)
        chosen = np.unique(np.geomspace(1, len(moved), columns).round().astype(int)) - 1
        if not lines:
            pairs = [f"{steps[index]}-{steps[index + 1]}" for index in chosen]
            lines = [f"| moved | {' | '.join(pairs)} |", "| --- |" + " ---: |" * len(pairs)]
        lines.append(f"| {label} | {' | '.join(f'{moved[index]:.2f}' for index in chosen)} |")
    return "\n".join(lines)


def movement(folder: Path) -> tuple[list[int], np.ndarray]:
    """How far the images of a grid, which come from the same noise each time, move between grids.

    Returns:
        The steps of the grids, and for all but the first the mean Euclidean distance of their
        images to those of the grid before, as a share of the distance between two real images
        of one digit.

    Raises:
        UserError: grids are lost or damaged.
    """
    grids = sample_grids(folder)
    if len(grids) < 2:
        raise UserError(f"{folder} has lost its sample grids: {ADVICE}")
    images = [grid_images(grid) for grid in grids]
    moved = [mean_distance(*pair) for pair in pairwise(images)]
    return [int(grid.stem) for grid in grids], np.array(moved) / real_distance()


def grid_images(path: Path) -> np.ndarray:
    """The images of a sample grid: float32 (16, 28, 28), in [0, 1].

    Raises:
        UserError: it is damaged.
    """
    with reading(path, ".png", "a sample grid", ADVICE):
        grid = plt.imread(path)[2 * GAP :: 2, 2 * GAP :: 2, 0]  # every pixel is drawn twice
        cells = grid.reshape(4, SIDE + GAP, 4, SIDE + GAP).swapaxes(1, 2)
        return cells[..., :SIDE, :SIDE].reshape(-1, SIDE, SIDE)


@functools.cache
def real_distance() -> float:
    """The mean distance between two training images of one digit."""
    images, labels = data.load()
    images = images[..., 0] / np.float32(255)
    digits = labels.argmax(axis=1)
    return np.mean(
        [mean_distance(images[digits == d][1:], images[digits == d][:-1]) for d in range(10)]
    )


def mean_distance(a: np.ndarray, b: np.ndarray) -> float:
    """The mean Euclidean distance between images (N, side, side) of equal index."""
    return float(np.linalg.norm((a - b).reshape(len(a), -1), axis=1).mean())


def save(figure: Figure, path: Path) -> None:
    with atomic(path) as temporary:
        figure.savefig(temporary, dpi=100)
