"""Images in a grid: as a PNG, as a GIF, and on the screen."""

import io
import warnings
from collections.abc import Iterable
from math import ceil
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.image import imsave
from PIL import Image

GAP = 2  # pixels between the images


def grid_shape(count: int) -> tuple[int, int]:
    """Return rows and columns of the squarest grid that holds `count` images."""
    cols = ceil(count**0.5)
    return ceil(count / cols), cols


def image_grid(images: np.ndarray, cols: int | None = None, gap: int = GAP) -> np.ndarray:
    """Lay images (N, side, side, channels) in [0, 1] side by side, gaps and free places white.

    Without `cols` the grid is as square as it can be.

    Returns:
        float32 in [0, 1], (height, width), or (height, width, 3) of images in colour.
    """
    rows, cols = (ceil(len(images) / cols), cols) if cols else grid_shape(len(images))
    side, pitch, channels = images.shape[1], images.shape[1] + gap, images.shape[3]
    grid = np.ones((rows * cols, pitch, pitch, channels), np.float32)
    grid[: len(images), :side, :side] = images
    grid = grid.reshape(rows, cols, pitch, pitch, channels).swapaxes(1, 2)
    grid = grid.reshape(rows * pitch, cols * pitch, channels)
    grid = np.pad(grid, ((gap, 0), (gap, 0), (0, 0)), constant_values=1)
    return grid[..., 0] if channels == 1 else grid


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Round images in [0, 1] to whole numbers from 0 to 255."""
    return np.rint(255 * images).astype(np.uint8)


def scaled(images: np.ndarray) -> np.ndarray:
    """Return images of a Dataset as float32 in [0, 1]."""
    return images / np.float32(255) if images.dtype == np.uint8 else images


def enlarge(image: np.ndarray, factor: int) -> np.ndarray:
    """Enlarge an image (height, width, ...) by repeating its pixels."""
    return image.repeat(factor, 0).repeat(factor, 1)


def encode(images: np.ndarray) -> bytes:
    """Encode images, as in `image_grid`, as a PNG at double size."""
    buffer = io.BytesIO()
    imsave(buffer, enlarge(image_grid(images), 2), cmap="gray", vmin=0, vmax=1)
    return buffer.getvalue()


def draw_dataset(dataset, cols: int = 12, max_classes: int = 20) -> bytes:
    """Encode as a PNG what a run trains on: a row of each class, or images from all over it.

    Where there are fewer, places stay white.
    """
    x, y = dataset.x_train, dataset.y_train
    rows = {"": np.arange(len(x))}
    if y is not None:
        rows = dict(zip(dataset.names, map(np.flatnonzero, y.T), strict=True))
        rows = {name: row for name, row in [*rows.items()][:max_classes] if len(row)}
    count = cols if y is not None else cols * min(cols, ceil(len(x) / cols))
    pixels = np.ones((len(rows), count, *x.shape[1:]), np.float32)
    for place, row in zip(pixels, rows.values(), strict=True):
        chosen = row[np.linspace(0, len(row) - 1, min(count, len(row))).astype(int)]
        place[: len(chosen)] = scaled(x[chosen])
    grid = image_grid(pixels.reshape(-1, *x.shape[1:]), cols)
    figure = Figure(figsize=(10, 10 * grid.shape[0] / grid.shape[1]), layout="constrained")
    axes = figure.subplots()
    axes.imshow(grid, cmap="gray", vmin=0, vmax=1)
    axes.set_xticks([])
    middles = (x.shape[1] + GAP) * (np.arange(len(rows)) + 0.5)
    axes.set_yticks(middles, rows, parse_math=False)
    axes.tick_params(length=0)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # matplotlib's, of names that its font can't draw
        figure.savefig(buffer)
    return buffer.getvalue()


def encode_gif(frames: Iterable[Image.Image], durations: int | list[int]) -> bytes:
    """Encode frames, each shown for so many milliseconds, as an endless GIF."""
    first, *others = frames
    buffer = io.BytesIO()
    options = {"save_all": True, "append_images": others, "duration": durations, "loop": 0}
    first.save(buffer, format="GIF", **options)
    return buffer.getvalue()


def show(path: Path) -> None:
    """Show a picture by matplotlib: in a window where it has one, or in a notebook."""
    import matplotlib.pyplot as plt  # here: it takes its time, and looks for a display

    try:
        if plt.get_backend().lower() == "agg":
            return
        plt.figure(path.stem)
        plt.imshow(plt.imread(path))
        plt.axis("off")
        plt.show()
    except Exception as error:  # noqa: BLE001  (each toolkit raises its own)
        print(f"not shown, as matplotlib can't here: {error}")
