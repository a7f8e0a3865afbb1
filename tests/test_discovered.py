"""What an InfoGAN discovered: measures of drawn shapes, purity, and the tables."""

from benchmarks import discovered
from lib import data, gan, generator_file

import numpy as np
import pytest
import tensorflow as tf
from helpers import script


def bar(width, lean=0.0):
    """Draw a bar 16 pixels high, which leans to the right by `lean` pixels a row."""
    image = np.zeros((28, 28))
    for row in range(6, 22):
        start = round(10 + lean * (22 - row))
        image[row, start : start + width] = 1
    return image


def test_measures_of_bars():
    upright, leaning, wide = bar(2), bar(2, lean=0.5), bar(4)
    found = discovered.shape_measures(np.stack([upright, leaning, leaning[:, ::-1], wide]))
    np.testing.assert_allclose(found["slant"], [0, 0.5, -0.5, 0], atol=0.02)
    # columns side by side, at -0.5 and 0.5, or at -1.5 to 1.5
    np.testing.assert_allclose(found["width"][[0, 3]], [0.5, 1.25**0.5])
    assert found["stroke"][3] > 1.6 * found["stroke"][0]
    thin, faint = discovered.shape_measures(np.stack([bar(2), bar(2) / 2]))["stroke"]
    assert thin == pytest.approx(faint)


def test_purity():
    counts = discovered.confusion(np.array([0, 0, 0, 1, 1]), np.array([7, 7, 2, 7, 1]))
    assert counts.shape == (2, 10) and counts[0, 7] == 2 and counts[1, 1] == 1
    assert discovered.purity(counts) == pytest.approx(3 / 5)


def test_correlations_are_within_categories():
    """A measure that rises with the code in each category, from another level, correlates by 1."""
    code, categories = np.array([0.1, 0.2, 0.3, 0.1, 0.2, 0.3]), np.array([0, 0, 0, 1, 1, 1])
    measure = np.array([7.0, 8.0, 9.0, 3.0, 2.0, 1.0])
    found = discovered.rank_correlations(code, measure, categories)
    np.testing.assert_allclose(found, [1, -1])


def test_report(tmp_path, monkeypatch):
    """Q is read from the run's checkpoint; without one the rest is told."""
    monkeypatch.setattr(discovered, "COUNT", 60)
    infogan = script("infogan")
    params = infogan.parser.parse_args(["--seed=1"])
    dataset = data.dataset(np.zeros((8, 28, 28), np.uint8))
    generator, discriminator, _ = infogan.build_models(params, dataset)
    path = tmp_path / "toy.h5"
    generator_file.save(generator, path)
    without = discovered.report(path, seed=1)
    assert "purity" in without and "code 2 | stroke" in without and "recovered" not in without

    tf.train.Checkpoint(discriminator=discriminator).write(str(tmp_path / "toy/checkpoints/ckpt-1"))
    inputs = data.sample_inputs(generator, 60, None, 1)
    images = gan.draw_images(generator, inputs)
    np.testing.assert_allclose(
        discovered.read_q(path, generator).predict(images, verbose=0)[2],
        discriminator.predict(images, verbose=0)[2],
        rtol=1e-5,
    )
    report = discovered.report(path, seed=1)
    assert "code 1 | recovered" in report and "test images: 0." in report
