"""What runs show along training: curves, WGAN's estimate, sample grids and how far they move."""

from itertools import pairwise
from pathlib import Path

from benchmarks.tables import markdown
from lib import data
from lib.generator import Generator
from lib.pictures import GAP
from lib.plumbing.tf import tf
from lib.training.folder import generator_path, sample_grids

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from scipy.stats import spearmanr

CURVES = {
    "frechet_distance": "Fréchet distance",
    "coverage": "coverage",
    "recall": "recall",
    "total_variation": "total variation of the digits' shares",
}
SIDE = 28
SMALLEST = 1e-3  # of WGAN's estimates: what is nearer to 0, or negative, is drawn linearly


def subplots(rows: int, columns: int, width: float, height: float) -> tuple[Figure, np.ndarray]:
    """Return a figure, its size in inches, and its axes (rows, columns)."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def scored_rows(folder: Path) -> np.ndarray:
    """Read the rows of a run's history that hold scores, its columns as fields."""
    rows = np.genfromtxt(folder / "history.csv", delimiter=",", names=True, ndmin=1)
    return rows[np.isfinite(rows["frechet_distance"])]


def plot_curves(folders: dict[str, Path], path: Path) -> None:
    """Draw the scores of several runs over the steps."""
    figure, places = subplots(2, 2, 9, 6.5)
    for axes, (key, label) in zip(places.flat, CURVES.items(), strict=True):
        for name, folder in folders.items():
            rows = scored_rows(folder)
            axes.plot(rows["step"], rows[key], ".-", label=name)
        if key == "frechet_distance":
            axes.set_yscale("log")
        else:
            axes.set_ylim(-0.03, 1.03)
        axes.set(xlabel="step", ylabel=label)
        axes.xaxis.get_major_locator().set_params(integer=True, nbins=5)
        axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=100)


def plot_estimates(folders: dict[str, Path], path: Path) -> None:
    """Draw WGAN's estimate and the Fréchet distance, over the steps and against each other."""
    figure, places = subplots(len(folders), 2, 9, 3.2 * len(folders))
    for (left, right), (label, folder) in zip(places, folders.items(), strict=True):
        rows = scored_rows(folder)
        estimates, distances = rows["wasserstein_estimate"], rows["frechet_distance"]
        left.plot(rows["step"], estimates, ".-", label="WGAN's estimate")
        left.plot(rows["step"], distances, ".-", label="Fréchet distance")
        left.set(title=label, xlabel="step")
        left.set_yscale("symlog", linthresh=SMALLEST)
        left.legend()
        points = right.scatter(estimates, distances, c=rows["step"], s=12)
        right.set(xlabel="WGAN's estimate", ylabel="Fréchet distance", yscale="log")
        right.set_xscale("symlog", linthresh=SMALLEST)
        right.set_xlim(min(estimates) - SMALLEST, 2 * max(estimates))
        figure.colorbar(points, ax=right, label="step")
        for axes in left, right:
            axes.grid(alpha=0.3)
    figure.savefig(path, dpi=100)


def estimate_against_distance(folder: Path) -> str:
    """Say how well the ranks of WGAN's estimates agree with those of the Fréchet distances."""
    rows = scored_rows(folder)
    if len(rows) < 2:
        return "scored once, which tells nothing of its estimate"
    found = spearmanr(rows["wasserstein_estimate"], rows["frechet_distance"]).statistic
    first, *_, last = rows["step"].astype(int)
    return (
        f"rank correlation of its estimate with the Fréchet distance {found:.2f}, "
        f"over {len(rows)} points from step {first} to {last}"
    )


def draw_grids(rows: list[list[tuple[Path, str]]], side: float) -> tuple[Figure, np.ndarray]:
    """Draw sample grids, each `side` inches wide with a label below, in rows."""
    columns = max(map(len, rows))
    figure, places = subplots(len(rows), columns, side * columns, (side + 0.3) * len(rows))
    for row, grids in zip(places, rows, strict=True):
        for axes, (grid, label) in zip(row, grids, strict=False):
            axes.imshow(plt.imread(grid))
            axes.set(xticks=[], yticks=[])
            axes.set_xlabel(label, fontsize=8)
        for axes in row[len(grids) :]:
            axes.remove()
    return figure, places


def plot_grids(folders: dict[str, Path], path: Path, columns: int = 6) -> None:
    """Draw sample grids along training, a row for each model; of a long run early ones stand closer
    together, where most happens.
    """
    columns = min(columns, *(len(sample_grids(folder)) for folder in folders.values()))
    rows = []
    for grids in map(sample_grids, folders.values()):
        spaced = np.geomspace if len(grids) > 2 * columns else np.linspace
        chosen = spaced(1, len(grids), columns).round().astype(int) - 1
        rows.append([(grids[index], f"{int(grids[index].stem)} steps") for index in chosen])
    figure, places = draw_grids(rows, side=2.2)
    for row, label in zip(places, folders, strict=True):
        row[0].set_ylabel(label)
    figure.savefig(path, dpi=100)


def plot_ends(runs: list[str], path: Path) -> None:
    """Draw the last sample grids of runs beside each other, a row for each of `runs`: folders
    separated by blanks, as "wgan_base wgan_wide".
    """
    ends = [[(sample_grids(Path(name))[-1], name) for name in row.split()] for row in runs]
    rows = [[(grid, f"{name}, {int(grid.stem)}") for grid, name in row] for row in ends]
    figure, _ = draw_grids(rows, side=plt.imread(rows[0][0][0]).shape[1] / 150)
    figure.savefig(path, dpi=100)
    # 16 greys are enough for the eye, in a fifth of the bytes
    Image.open(path).convert("L").quantize(16).save(path, optimize=True)


def plot_digits(folders: dict[str, Path], path: Path, count: int = 5) -> None:
    """Draw digits 0 to 9 in columns, `count` rows of each model, from equal noise (Fig. 8.11)."""
    noise = data.sample_noise(tf.random.Generator.from_seed(1), 10 * count, 100, "uniform")
    labels = tf.one_hot(tf.range(10 * count) % 10, 10)
    figure, places = subplots(1, len(folders), 4.5 * len(folders), 0.45 * count + 0.4)
    for axes, (label, folder) in zip(places[0], folders.items(), strict=True):
        generator = Generator.load(generator_path(folder))
        images = generator.model.predict([noise, labels], verbose=0)
        grid = images.reshape(count, 10, SIDE, SIDE).swapaxes(1, 2).reshape(SIDE * count, -1)
        axes.imshow(grid, cmap="gray", vmin=0, vmax=1)
        ticks = SIDE // 2 + SIDE * np.arange(10)
        axes.set(xticks=ticks, xticklabels=range(10), yticks=[], title=label)
    figure.savefig(path, dpi=100)


def movement_table(folders: dict[str, Path], columns: int = 8) -> str:
    """Return in Markdown the movement of grids, as a share of the mean distance between two training
    images of one digit.
    """
    images, labels = data.load()[:2]
    digits = labels.argmax(axis=1)
    images = [images[digits == digit, ..., 0] / np.float32(255) for digit in range(10)]
    unit = np.mean([mean_distance(those[1:], those[:-1]) for those in images])
    rows = []
    for label, folder in folders.items():
        steps, moved = movement(folder)
        chosen = np.unique(np.geomspace(1, len(moved), columns).round().astype(int)) - 1
        rows.append([label, *(f"{moved[index] / unit:.2f}" for index in chosen)])
    return markdown(["moved", *(f"{steps[i]}-{steps[i + 1]}" for i in chosen)], rows)


def movement(folder: Path) -> tuple[list[int], list[float]]:
    """Return the steps of a run's grids, which all come from one noise, and for all but the first
    the mean Euclidean distance of their images to those of the grid before.
    """
    grids = sample_grids(folder)
    moved = [mean_distance(*pair) for pair in pairwise(map(grid_images, grids))]
    return [int(grid.stem) for grid in grids], moved


def grid_images(path: Path) -> np.ndarray:
    """Read the images of a sample grid: float32 (16, 28, 28), in [0, 1]."""
    grid = plt.imread(path)[2 * GAP :: 2, 2 * GAP :: 2, 0]  # every pixel is drawn twice
    cells = grid.reshape(4, SIDE + GAP, 4, SIDE + GAP).swapaxes(1, 2)
    return cells[..., :SIDE, :SIDE].reshape(-1, SIDE, SIDE)


def mean_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Return the mean Euclidean distance between images (N, side, side) of equal index."""
    return float(np.linalg.norm((a - b).reshape(len(a), -1), axis=1).mean())
