"""The training images nearest to what a generator draws."""

from lib import gan
from lib.generator import Generator
from lib.sampling import neighbors

import numpy as np
import pytest
from helpers import main, saved
from tensorflow import keras


def test_nearest_are_those_of_all_distances():
    rng = np.random.default_rng(1)
    images, others = rng.random((5, 4, 4, 1)), rng.random((40, 4, 4, 1))
    images[2] = others[7]  # a copy
    distances = np.sqrt(np.square(images[:, None] - others).sum(axis=(2, 3, 4)))
    found, near = neighbors.nearest(images, others, 3)
    np.testing.assert_array_equal(found, distances.argsort(axis=1)[:, :3])
    np.testing.assert_allclose(near, np.sort(distances, axis=1)[:, :3], atol=1e-3)
    assert found[2, 0] == 7


def test_picture_of_neighbors(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(neighbors, "COMPARED", 20)
    monkeypatch.chdir(tmp_path)
    flags = ["--generator=pretrained/acgan_mnist.h5", "--neighbors", "--digit=3", "--seed=1"]
    assert main("acgan", flags, monkeypatch) == 0
    text = capsys.readouterr().out
    assert "drawn: half are farther than" in text
    assert "real (test set): half are farther than" in text
    assert saved(text).name == "acgan_mnist_neighbors_digit3_seed1.png"
    assert saved(text).stat().st_size > 10_000


@pytest.mark.parametrize(
    "side, data, told",
    [(8, "own.npz", "drawn: half are farther than 0.0"), (28, "mnist", "real (test set): half")],
)
def test_neighbors_in_other_data(side, data, told, tmp_path, monkeypatch, capsys):
    """Tells a generator that copies its data."""
    monkeypatch.setattr(neighbors, "COMPARED", 20)
    monkeypatch.chdir(tmp_path)
    generator = Generator(gan.generator(keras.Input((6,)), side), source="letters.npz")
    generator.save("letters.h5")
    np.savez("own.npz", x_train=generator.draw(generator.inputs(20, seed=1)))
    flags = ["--generator=letters.h5", "--neighbors", f"--data={data}", "--seed=1"]
    assert main("lsgan", flags, monkeypatch) == 0
    assert told in capsys.readouterr().out
