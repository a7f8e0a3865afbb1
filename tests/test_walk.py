"""The walk through the latent space, and its animation."""

from lib import data, gan
from lib.pictures import GAP
from lib.plumbing.errors import UserError
from lib.sampling import walk

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow import keras


def lengths(vectors):
    return np.linalg.norm(vectors, axis=-1)


@pytest.mark.parametrize("count", [3, 7])
def test_closed_walk(count):
    points = np.random.default_rng(0).uniform(-1, 1, (count, 100))
    steps_a_point = 20
    path = walk.closed_walk(points, count * steps_a_point)
    assert path.shape == (count * steps_a_point, 100)
    assert path.dtype == np.float32
    np.testing.assert_allclose(path[::steps_a_point], points, atol=1e-6)
    # the seam is a step like all others; they are equally long and turn slowly
    steps = np.roll(path, -1, axis=0) - path
    assert lengths(steps).max() < 1.3 * lengths(steps).min()
    turns = (steps * np.roll(steps, -1, axis=0)).sum(-1) / lengths(steps) ** 2
    assert turns.min() > 0.8
    # a straight line's middle would have a norm of 4.1
    assert lengths(path).min() > 0.8 * 100**0.5 / 3**0.5
    assert lengths(path).max() < 1.2 * 100**0.5 / 3**0.5


def test_walk_keeps_the_variance_of_noise():
    weights = walk.closed_walk(np.eye(5), 40)
    np.testing.assert_allclose(lengths(weights), 1, atol=1e-6)
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)


@pytest.fixture(params=["noise", "labels"])
def generator(request):
    keras.utils.set_random_seed(4)
    labels = None if request.param == "noise" else keras.Input((12,))
    codes = [keras.Input((1,)), keras.Input((1,))] if request.param == "codes" else None
    model = gan.generator(keras.Input((6,)), 4, labels=labels, codes=codes)
    *_, last = [layer for layer in model.layers if layer.weights]
    last.kernel.assign(50 * last.kernel)  # untrained, all pixels would be nearly the same grey
    return model


def read(path):
    """Frames and durations of a GIF; the frames are uint8 (frames, rows, cols, side, side)."""
    gap = walk.ZOOM * GAP
    with Image.open(path) as gif:
        frames, durations = [], []
        for index in range(gif.n_frames):
            gif.seek(index)
            frames.append(np.asarray(gif.convert("L"))[gap:, gap:])
            durations.append(gif.info["duration"])
        assert gif.info["loop"] == 0
    pitch = 4 * walk.ZOOM + gap
    height, width = frames[0].shape
    places = np.reshape(frames, (-1, height // pitch, pitch, width // pitch, pitch))
    return places.swapaxes(2, 3)[..., :-gap, :-gap][..., 1::3, 1::3], durations


def first_frame(generator, walks, digits, codes=()):
    """What the generator draws from the seed's first noise: uint8 (n, side, side)."""
    rng = tf.random.Generator.from_seed(1)
    noise = data.sample_noise(rng, 3 * walks, 6, "uniform")[:walks]
    if digits is not None:
        noise = [tf.repeat(noise, len(digits) // walks, axis=0), tf.one_hot(digits, 12)]
        noise += [tf.fill((len(digits), 1), code) for code in codes]
    return np.rint(255 * generator(noise)[..., 0].numpy()).astype(int)


def test_write_walk(generator, tmp_path):
    conditional = len(generator.inputs) > 1
    path = walk.write_walk(generator, tmp_path / "walk.gif", seconds=2, seed=1)
    assert path == tmp_path / "walk.gif"
    other = walk.write_walk(generator, path, seconds=2, seed=2)
    assert other == tmp_path / "walk-2.gif"  # none is replaced
    images, durations = read(tmp_path / "walk.gif")
    assert images.shape == (40, 3 if conditional else 2, 5, 4, 4)
    assert durations == [50] * 40
    moves = np.abs(np.roll(images.astype(int), -1, axis=0) - images).mean((3, 4))
    assert (moves[:, :2] > 0).all()
    assert moves.max() < 60  # of 255, the seam included
    expected = first_frame(generator, *((1, range(12)) if conditional else (10, None)))
    np.testing.assert_allclose(images[0].reshape(-1, 4, 4)[: len(expected)], expected, atol=1)
    assert (images.reshape(40, -1, 4, 4)[:, len(expected) :] == 255).all()


@pytest.mark.parametrize(
    "generator, codes", [("labels", ()), ("codes", (0.0, 0.5))], indirect=["generator"]
)
def test_write_walk_of_a_digit(generator, codes, tmp_path):
    """Holds the digit, and InfoGAN's codes where they are given; one that isn't stays at 0.5."""
    held = {"label": 3, "codes": (0.0, None)[: len(codes)]}
    walk.write_walk(generator, tmp_path / "walk.gif", seconds=2, seed=1, **held)
    images, _ = read(tmp_path / "walk.gif")
    expected = first_frame(generator, 10, [3] * 10, codes)
    np.testing.assert_allclose(images[0].reshape(-1, 4, 4), expected, atol=1)
    with pytest.raises(UserError, match="choose from 0, 1"):
        walk.write_walk(generator, tmp_path / "walk.gif", seconds=2, seed=1, label=12)
