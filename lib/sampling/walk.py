"""An animation of the digits on a smooth, closed walk through the latent space."""

from pathlib import Path

from lib import data
from lib.generator import Generator
from lib.pictures import encode_gif, enlarge, image_grid, to_uint8
from lib.plumbing.files import write_new
from lib.plumbing.tf import keras, tf

import numpy as np
from PIL import Image

FRAME_SECONDS = 0.05  # GIFs count in hundredths, and browsers slow down what is faster than 2
WALKS = 10  # side by side, where there aren't as many digits
COLS = 5
ZOOM = 3


def closed_walk(points: np.ndarray, frames: int) -> np.ndarray:
    """Walk through random points, smoothly and back: interpolate them by a Fourier series.

    Every frame is a sum of all points, with weights whose squares add up to 1. So its entries have
    the variance of noise, and its norm stays near sqrt(latent_size / 3), where noise has it. On
    straight lines the norm would fall by a factor of sqrt(2) half-way, to where there is no noise;
    on arcs of a sphere the walk would turn sharply at each point.

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
    generator: Generator | keras.Model, path: str | Path, seconds: int, seed: int, **held
) -> Path:
    """Write an endless GIF of a walk that comes by about one random point a second.

    All classes of a conditional generator take the same walk side by side: what they have in
    common, the noise has made. One class, or a generator without labels, takes ten walks.

    Args:
        held: `label`, as `Generator.label` takes it; `codes`, InfoGAN's, in [0, 1], of which None
            stands for 0.5.

    Returns:
        The GIF's path. Another GIF that lies there is not replaced.

    Raises:
        UserError: no label is called so.
    """
    generator = Generator.of(generator)
    label = generator.label(held.get("label"))
    together = bool(generator.num_labels) and label is None
    frames, points = round(seconds / FRAME_SECONDS), max(3, (seconds - 1) // 2 * 2 + 1)
    walks = 1 if together else WALKS
    rng = tf.random.Generator.from_seed(seed)
    size = generator.latent_size
    noise = data.sample_noise(rng, points * walks, size, generator.noise).numpy()
    noise = closed_walk(noise.reshape(points, walks, size), frames)
    labels = label
    if together:
        labels = np.arange(generator.num_labels)
        noise = np.broadcast_to(noise, (frames, len(labels), size))
    codes = held.get("codes") or generator.num_codes * [None]
    codes = [0.5 if code is None else code for code in codes]

    def picture(frame: np.ndarray) -> Image.Image:
        grid = image_grid(generator.draw(generator.feed(frame, labels, codes)), COLS)
        return Image.fromarray(enlarge(to_uint8(grid), ZOOM))

    return write_new(Path(path), encode_gif(map(picture, noise), round(1000 * FRAME_SECONDS)))
