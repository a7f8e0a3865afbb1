"""An animation of the digits on a smooth, closed walk through the latent space."""

import io
from math import ceil
from pathlib import Path

from lib import data, gan, memory
from lib.files import write_new
from lib.tf import keras, tf

import numpy as np
from PIL import Image

FRAME_SECONDS = 0.05  # GIFs count in hundredths, and browsers slow down what is faster than 2
WALKS = 10  # side by side, where there aren't as many digits
COLS = 5
ZOOM, GAP = 3, 6  # pixels


def closed_walk(points: np.ndarray, frames: int) -> np.ndarray:
    """A smooth, closed walk through random points: their interpolation by a Fourier series.

    Every frame is a sum of all points, with weights whose squares add up to 1, so its entries
    have the variance of noise, and its norm stays where noise has it, near sqrt(latent_size / 3).
    On straight lines from point to point the norm would fall by a factor of sqrt(2) half-way,
    to where there is no noise; on arcs of a sphere it is kept too, but the walk turns sharply
    at each point.

    Args:
        points: (n, ..., latent_size), independent draws of mean 0, n odd: each one is passed.
        frames: at least n; a multiple of n has frames on the points themselves.

    Returns:
        float32 (frames, ..., latent_size); the last frame is a step away from the first. Steps
        are about equally long.
    """
    spectrum = np.fft.rfft(points, axis=0, norm="forward")
    return np.fft.irfft(spectrum, frames, axis=0, norm="forward").astype(np.float32)


def write_walk(
    generator: keras.Model, path: str | Path, seconds: int, seed: int, digit: int | None = None
) -> Path:
    """Write an endless GIF of a walk that comes by about one random point a second.

    All digits of a conditional generator take the same walk side by side: what they have in
    common, the noise has made. For one digit, and for generators without labels, these are ten
    walks.

    Args:
        generator: of noise, or of noise and labels.
        path: of the GIF.
        seconds: the length of the walk.
        seed: of the noise.
        digit: the only one to draw.

    Returns:
        The GIF's path. Another GIF that lies there is not replaced.

    Raises:
        UserError: the generator has no such digit; memory is too small.
    """
    latent_size, *num_labels = [tensor.shape[1] for tensor in generator.inputs]
    if num_labels:
        data.check_digit(digit, num_labels[0])
    together = bool(num_labels) and digit is None
    frames, points = round(seconds / FRAME_SECONDS), max(3, (seconds - 1) // 2 * 2 + 1)
    count, walks = (num_labels[0], 1) if together else (WALKS, WALKS)
    need = memory.of_sampling(generator, frames * count, memory.ANIMATION)
    memory.require(need, f"a GIF of {seconds} seconds", "choose fewer")
    rng = tf.random.Generator.from_seed(seed)
    noise = data.sample_noise(rng, points * walks, latent_size).numpy()
    noise = closed_walk(noise.reshape(points, walks, latent_size), frames)
    inputs = [np.broadcast_to(noise, (frames, count, latent_size)).reshape(-1, latent_size)]
    if num_labels:
        labels = np.eye(num_labels[0], dtype=np.float32)
        labels = labels if together else labels[[digit] * count]
        inputs.append(np.tile(labels, (frames, 1)))
    images = gan.draw_images(generator, inputs)
    images = np.rint(255 * images).astype(np.uint8)
    return write_new(Path(path), encode(images.reshape(frames, count, *images.shape[1:3])))


def encode(images: np.ndarray) -> bytes:
    """Images, uint8 (frames, count, side, side), as an endless GIF, five in a row."""
    frames, count, side, _ = images.shape
    rows, cols, pitch = ceil(count / COLS), min(count, COLS), side * ZOOM + GAP
    places = np.full((frames, rows * cols, pitch, pitch), 255, np.uint8)
    places[:, :count, GAP:, GAP:] = images.repeat(ZOOM, axis=2).repeat(ZOOM, axis=3)
    grids = places.reshape(frames, rows, cols, pitch, pitch).swapaxes(2, 3)
    grids = grids.reshape(frames, rows * pitch, cols * pitch)
    grids = np.pad(grids, ((0, 0), (0, GAP), (0, GAP)), constant_values=255)
    first, *others = [Image.fromarray(grid) for grid in grids]
    buffer = io.BytesIO()
    first.save(
        buffer,
        format="GIF",
        save_all=True,
        append_images=others,
        duration=round(1000 * FRAME_SECONDS),
        loop=0,
    )
    return buffer.getvalue()
