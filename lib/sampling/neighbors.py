"""Does a generator only copy? Drawn images beside the training images nearest to them."""

import io
from pathlib import Path

from lib import data
from lib.generator import Generator
from lib.pictures import image_grid, scaled
from lib.plumbing.errors import UserError
from lib.plumbing.files import write_new
from lib.scoring.evaluation import is_mnist
from lib.scoring.formulas import squared_distances

import numpy as np
from matplotlib.figure import Figure

ROWS, COLUMNS = 8, 7
COMPARED = 1000


def nearest(images: np.ndarray, others: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the nearest of other images, by the Euclidean distance of their pixels.

    A copy is a matter of pixels; the classifier's features are trained to forget what sets two
    sevens apart. Pixels can be compared where images are centred and of one size, as MNIST's are.

    Args:
        images, others: (N, ...) and (M, ...), in [0, 1].

    Returns:
        Indices and distances of the `count` nearest to each, (N, count), the nearest first.
    """
    a, b = (array.reshape(len(array), -1).astype(np.float32) for array in (images, others))
    squares = np.concatenate([*squared_distances(a, b)])
    found = np.argpartition(squares, count - 1, axis=1)[:, :count]
    distances = np.sqrt(np.take_along_axis(squares, found, axis=1))
    order = distances.argsort(axis=1, kind="stable")
    return np.take_along_axis(found, order, 1), np.take_along_axis(distances, order, 1)


def draw_neighbors(
    generator: Generator, path: Path, label: str | None, seed: int, dataset: data.Dataset
) -> Path:
    """Save a picture of drawn images and the training images nearest to them; print its sense.

    A row is a drawn image and the seven nearest to it, with their distances. Below: how far 1,000
    drawn images are from the nearest training image, and as many real ones: MNIST's test images, or
    training images from the nearest other one. A generator that copied would be nearer to these
    than real images are.

    Args:
        path: of the picture, a PNG. Another file that lies there is not replaced.
        label: the only one to draw, as `Generator.label` takes it.

    Raises:
        UserError: the generator draws images of another size or colour; or there are too few.
    """
    x_train, shape = scaled(dataset.x_train), generator.model.output_shape[1:]
    if shape != dataset.image_shape or len(x_train) <= COLUMNS:
        raise UserError(
            f"the generator draws images {shape}, {dataset.name} has {x_train.shape}: it must have "
            f"more than {COLUMNS} of that kind"
        )
    drawn = generator.draw(generator.inputs(COMPARED, seed, label))
    rows, distances = nearest(drawn, x_train, COLUMNS)
    if is_mnist(dataset):
        name, real, skipped = "real (test set)", scaled(data.load_test()[0]), 0
    else:
        name, real, skipped = "real (from others)", x_train, 1  # the nearest to each is itself
    real = real[:: max(1, len(real) // COMPARED)]
    of_real = nearest(real, x_train, 1 + skipped)[1][:, skipped]

    figure = Figure(figsize=(8, 11), layout="constrained")
    top, bottom = figure.subplots(2, 1, height_ratios=(4, 1))
    shown = np.concatenate([drawn[:ROWS, np.newaxis], x_train[rows[:ROWS]]], axis=1)
    shown = image_grid(shown.reshape(-1, *drawn.shape[1:]), COLUMNS + 1)
    top.imshow(shown, cmap="gray", vmin=0, vmax=1)
    pitch = drawn.shape[1] + 2
    for row, line in enumerate(distances[:ROWS]):
        for col, distance in enumerate(line, start=1):
            where = pitch * col + 3, pitch * row + 4
            top.text(*where, f"{distance:.1f}", color="tab:orange", fontsize=8)
    top.set(title="drawn | the training images nearest to it", xticks=[], yticks=[])
    sets = {"drawn": distances[:, 0], name: of_real}
    bottom.hist([*sets.values()], bins=40, label=[*sets], histtype="step")
    bottom.set(xlabel="distance to the nearest training image", ylabel=f"of {COMPARED:,} images")
    bottom.legend()
    content = io.BytesIO()
    figure.savefig(content, dpi=100)
    path = write_new(path, content.getvalue())
    for name, found in sets.items():
        low, middle = np.quantile(found, [0.01, 0.5])
        print(
            f"{name}: half are farther than {middle:.2f} from the training images, 99% than {low:.2f}"
        )
    print(f"saved {path}")
    return path
