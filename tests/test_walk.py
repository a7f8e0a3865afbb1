"""The walk through the latent space, and its animation."""

from lib import data, gan
from lib.generator import Generator
from lib.pictures import enlarge, image_grid
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


def build(labels, num_codes=0):
    """Build a generator of 4 x 4 images, of noise, 12 labels or none, and codes."""
    keras.utils.set_random_seed(4)
    labels = keras.Input((12,)) if labels else None
    codes = [keras.Input((1,)) for _ in range(num_codes)]
    model = gan.generator(keras.Input((6,)), 4, labels=labels, codes=codes)
    *_, last = [layer for layer in model.layers if layer.weights]
    last.kernel.assign(50 * last.kernel)  # untrained, all pixels would be nearly the same grey
    return Generator(model)


def read(path):
    """Return the frames of a GIF, whole numbers (frames, height, width)."""
    frames = []
    with Image.open(path) as gif:
        assert gif.info["loop"] == 0
        for index in range(gif.n_frames):
            gif.seek(index)
            assert gif.info["duration"] == 50
            frames.append(np.asarray(gif.convert("L"), int))
    return np.array(frames)


def check_first_frame(frames, generator, walks, labels=None, codes=()):
    """Check that it shows, five in a row, what the generator draws from the seed's first noise."""
    noise = data.sample_noise(tf.random.Generator.from_seed(1), 3 * walks, 6, "uniform")[:walks]
    noise = np.broadcast_to(noise, (np.size(labels) if walks == 1 else walks, 6))
    images = generator.draw(generator.feed(noise, labels, codes))
    expected = 255 * enlarge(image_grid(images, 5), walk.ZOOM)
    np.testing.assert_allclose(frames[0], expected, atol=1)


@pytest.mark.parametrize("walks, labels", [(10, None), (1, np.arange(12))])
def test_write_walk(walks, labels, tmp_path):
    """Without labels there are ten walks; all classes take the same one."""
    generator = build(labels is not None)
    path = walk.write_walk(generator, tmp_path / "walk.gif", seconds=2, seed=1)
    assert path == tmp_path / "walk.gif"
    other = walk.write_walk(generator, path, seconds=2, seed=2)
    assert other == tmp_path / "walk-2.gif"  # none is replaced
    frames = read(path)
    assert len(frames) == 40
    moves = np.abs(np.roll(frames, -1, axis=0) - frames).mean((1, 2))
    assert 0 < moves.min() <= moves.max() < 30  # of 255, the seam included
    check_first_frame(frames, generator, walks, labels)


@pytest.mark.parametrize("given, codes", [((), ()), ((0.0, None), (0.0, 0.5))])
def test_write_walk_of_a_digit(given, codes, tmp_path):
    """Holds the digit, and InfoGAN's codes where they are given; one that isn't stays at 0.5."""
    generator = build(labels=True, num_codes=len(codes))
    path = tmp_path / "walk.gif"
    walk.write_walk(generator, path, seconds=2, seed=1, label=3, codes=given)
    check_first_frame(read(path), generator, 10, 3, codes)
    with pytest.raises(UserError, match="choose from 0, 1"):
        walk.write_walk(generator, path, seconds=2, seed=1, label=12)
