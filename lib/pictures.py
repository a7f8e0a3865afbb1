"""Images in a grid: as a file, and in a window."""

import io
import os
import subprocess
import sys
from math import ceil
from pathlib import Path

from lib import signals

import numpy as np
from matplotlib.image import imsave

GAP = 2  # pixels between the images


def grid_shape(count: int) -> tuple[int, int]:
    """Rows and columns of the squarest grid that holds `count` images."""
    cols = ceil(count**0.5)
    return ceil(count / cols), cols


def image_grid(images: np.ndarray) -> np.ndarray:
    """Images side by side in a grid, as square as it can be, its free places white.

    Args:
        images: (N, side, side, 1), in [0, 1].

    Returns:
        float32 (height, width), in [0, 1].
    """
    rows, cols = grid_shape(len(images))
    side = images.shape[1]
    grid = np.ones((rows, cols, side + GAP, side + GAP), np.float32)
    grid.reshape(-1, side + GAP, side + GAP)[: len(images), :side, :side] = images[..., 0]
    grid = grid.swapaxes(1, 2).reshape(rows * (side + GAP), cols * (side + GAP))
    return np.pad(grid, ((GAP, 0), (GAP, 0)), constant_values=1)


def encode(images: np.ndarray) -> bytes:
    """Images, as in `image_grid`, as a PNG at double size."""
    buffer = io.BytesIO()
    grid = image_grid(images).repeat(2, 0).repeat(2, 1)
    imsave(buffer, grid, cmap="gray", vmin=0, vmax=1)
    return buffer.getvalue()


def show(path: Path) -> None:
    """Show a picture by matplotlib: in a window if it has a toolkit for that, or in a notebook."""
    import matplotlib.pyplot as plt  # here: it takes its time, and looks for a display

    if plt.get_backend().lower() != "agg":
        plt.figure(path.stem)
        plt.imshow(plt.imread(path))
        plt.axis("off")
        plt.show()


def open_window(path: Path) -> None:
    """Show a picture in a window where there is a display, and wait for that to be closed.

    In a process of its own, as toolkits that fail to open a window may end the process.
    """
    if sys.platform == "linux" and not {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys():
        return
    command = [sys.executable, "-m", "lib.pictures", str(path.absolute())]
    root = Path(__file__).parents[1]
    if signals.start(command, cwd=root, stderr=subprocess.DEVNULL).wait():
        print("no window: matplotlib's toolkit can't open one here")


if __name__ == "__main__":
    show(Path(sys.argv[1]))
