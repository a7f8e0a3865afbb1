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
CRITIC = {
    "real_gradient": "gradient of mean D(x)",
    "joint_gradient": "of mean D(x) - mean D(g(z))",
    "average": "RMSprop's sqrt(v)",
}
SIDE = 28
SMALLEST = 1e-3  # of WGAN's estimates: what is nearer to 0, or negative, is drawn linearly


def scored_rows(folder: Path) -> np.ndarray:
    """Read the rows of a run's history that hold scores, its columns as fields."""
    rows = np.genfromtxt(folder / "history.csv", delimiter=",", names=True, ndmin=1)
    return rows[np.isfinite(rows["frechet_distance"])]


def plot_curves(folders: dict[str, Path], path: Path) -> None:
    """Draw the scores of several runs over the steps."""
    figure = Figure(figsize=(9, 6.5), layout="constrained")
    for axes, (key, label) in zip(figure.subplots(2, 2).flat, CURVES.items(), strict=True):
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
    """Draw WGAN's estimate of the distance and the Fréchet distance, over the steps and against
    each other, a row for each run.
    """
    figure = Figure(figsize=(9, 3.2 * len(folders)), layout="constrained")
    places = figure.subplots(len(folders), 2, squeeze=False)
    for (left, right), (label, folder) in zip(places, folders.items(), strict=True):
        rows = scored_rows(folder)
        steps, estimates, distances = (
            rows[name] for name in ("step", "wasserstein_estimate", "frechet_distance")
        )
        left.plot(steps, estimates, ".-", label="WGAN's estimate")
        left.plot(steps, distances, ".-", label="Fréchet distance")
        left.set(title=label, xlabel="step")
        left.set_yscale("symlog", linthresh=SMALLEST)
        left.legend()
        points = right.scatter(estimates, distances, c=steps, s=12)
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


def plot_critic(table: Path, path: Path) -> None:
    """Draw what `benchmarks.critic` measured along a run."""
    rows = np.genfromtxt(table, delimiter=",", names=True)
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    norms, shares = figure.subplots(1, 2)
    for column, label in CRITIC.items():
        norms.plot(rows["step"], rows[column], ".-", label=label)
    norms.set(yscale="log", title="norms")
    shares.plot(rows["step"], rows["saturated"], ".-", color="tab:red")
    shares.set(ylim=(0, 1), title="share of weights within 1% of their bounds")
    norms.legend(loc="center right", fontsize=8)
    for axes in norms, shares:
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=100)


def plot_grids(folders: dict[str, Path], path: Path, columns: int = 6) -> None:
    """Draw sample grids along training: a row for each model, the steps below each grid.

    Of a long run early ones stand closer together: most happens there.
    """
    columns = min(columns, *(len(sample_grids(folder)) for folder in folders.values()))
    figure = Figure(figsize=(2.2 * columns, 2.5 * len(folders)), layout="constrained")
    rows = figure.subplots(len(folders), columns, squeeze=False)
    for axes, (label, folder) in zip(rows, folders.items(), strict=True):
        grids = sample_grids(folder)
        spaced = np.geomspace if len(grids) > 2 * columns else np.linspace
        chosen = spaced(1, len(grids), columns).round().astype(int) - 1
        for place, index in zip(axes, chosen, strict=True):
            place.imshow(plt.imread(grids[index]))
            place.set(xticks=[], yticks=[], xlabel=f"{int(grids[index].stem)} steps")
        axes[0].set_ylabel(label)
    figure.savefig(path, dpi=100)


def plot_ends(runs: list[str], path: Path) -> None:
    """Draw the last sample grids of runs beside each other.

    Args:
        runs: a row's folders each, separated by blanks, as "wgan_base wgan_wide".
        path: where to save the picture.
    """
    names = [row.split() for row in runs]
    columns = max(map(len, names))
    side = plt.imread(sample_grids(Path(names[0][0]))[-1]).shape[1] / 150  # inches, by its images
    figure = Figure(figsize=(side * columns, (side + 0.3) * len(runs)), layout="constrained")
    for axes, row in zip(figure.subplots(len(runs), columns, squeeze=False), names, strict=True):
        for place in axes[len(row) :]:
            place.remove()
        for place, name in zip(axes, row, strict=False):
            grid = sample_grids(Path(name))[-1]
            place.imshow(plt.imread(grid))
            place.set(xticks=[], yticks=[])
            place.set_xlabel(f"{name}, {int(grid.stem)}", fontsize=8)
    figure.savefig(path, dpi=100)
    # 16 greys are enough for the eye, in a fifth of the bytes
    Image.open(path).convert("L").quantize(16).save(path, optimize=True)


def plot_digits(folders: dict[str, Path], path: Path, count: int = 5) -> None:
    """Draw digits 0 to 9 in columns, `count` rows of each model, from equal noise (Fig. 8.11)."""
    noise = data.sample_noise(tf.random.Generator.from_seed(1), 10 * count, 100, "uniform")
    labels = tf.one_hot(tf.range(10 * count) % 10, 10)
    figure = Figure(figsize=(4.5 * len(folders), 0.45 * count + 0.4), layout="constrained")
    row = figure.subplots(1, len(folders), squeeze=False)[0]
    for axes, (label, folder) in zip(row, folders.items(), strict=True):
        generator = Generator.load(generator_path(folder))
        images = generator.model.predict([noise, labels], verbose=0)
        grid = images.reshape(count, 10, SIDE, SIDE).swapaxes(1, 2).reshape(SIDE * count, -1)
        axes.imshow(grid, cmap="gray", vmin=0, vmax=1)
        ticks = SIDE // 2 + SIDE * np.arange(10)
        axes.set(xticks=ticks, xticklabels=range(10), yticks=[], title=label)
    figure.savefig(path, dpi=100)


def movement_table(folders: dict[str, Path], columns: int = 8) -> str:
    """Return in Markdown how far the images of a grid move to the next one, as `movement`."""
    unit = real_distance()
    rows = []
    for label, folder in folders.items():
        steps, moved = movement(folder)
        chosen = np.unique(np.geomspace(1, len(moved), columns).round().astype(int)) - 1
        rows.append([label, *(f"{moved[index] / unit:.2f}" for index in chosen)])
    return markdown(["moved", *(f"{steps[i]}-{steps[i + 1]}" for i in chosen)], rows)


def movement(folder: Path) -> tuple[list[int], np.ndarray]:
    """Return how far the images of a grid, which come from the same noise each time, move.

    Returns:
        The steps of the grids, and for all but the first the mean Euclidean distance of their
        images to those of the grid before.
    """
    grids = sample_grids(folder)
    moved = [mean_distance(*pair) for pair in pairwise(map(grid_images, grids))]
    return [int(grid.stem) for grid in grids], np.array(moved)


def grid_images(path: Path) -> np.ndarray:
    """Read the images of a sample grid: float32 (16, 28, 28), in [0, 1]."""
    grid = plt.imread(path)[2 * GAP :: 2, 2 * GAP :: 2, 0]  # every pixel is drawn twice
    cells = grid.reshape(4, SIDE + GAP, 4, SIDE + GAP).swapaxes(1, 2)
    return cells[..., :SIDE, :SIDE].reshape(-1, SIDE, SIDE)


def real_distance() -> float:
    """Return the mean distance between two training images of one digit."""
    images, labels = data.load()[:2]
    images = images[..., 0] / np.float32(255)
    digits = labels.argmax(axis=1)
    apart = [mean_distance(images[digits == d][1:], images[digits == d][:-1]) for d in range(10)]
    return float(np.mean(apart))


def mean_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Return the mean Euclidean distance between images (N, side, side) of equal index."""
    return float(np.linalg.norm((a - b).reshape(len(a), -1), axis=1).mean())
