"""The data set and what the training steps draw from it."""

import shutil
from types import SimpleNamespace

from lib import data

import numpy as np
import pytest
import tensorflow as tf
from lib.errors import UserError

NPY = b"\x93NUMPY\x01\0v\0{'descr': '|u1', 'fortran_order': False, 'shape': (2,), }".ljust(127)
NPY += b"\n12"  # one array, not an archive of them


def sampler(x_train, y_train=None, batch_size=64):
    params = SimpleNamespace(seed=3, batch_size=batch_size, latent_size=100)
    return data.Sampler(params, data.Dataset(x_train, y_train))


def test_mnist(mnist):
    x_train, y_train = mnist
    assert x_train.shape == (60000, 28, 28, 1)
    assert x_train.dtype == np.uint8
    assert y_train.dtype == np.float32
    # the counts of the original label file
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert y_train.sum(axis=0).tolist() == counts
    assert y_train[:5].argmax(axis=1).tolist() == [5, 0, 4, 1, 9]
    np.testing.assert_allclose(x_train.mean() / 255, 0.1307, atol=1e-4)


def test_test_images():
    x_test, y_test = data.load_test()
    assert x_test.shape == (10000, 28, 28, 1)
    assert x_test.dtype == np.uint8
    assert y_test.dtype == np.float32
    # the counts of the original label file
    assert y_test.sum(axis=0).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert y_test[:5].argmax(axis=1).tolist() == [7, 2, 1, 0, 4]
    np.testing.assert_allclose(x_test.mean() / 255, 0.1325, atol=1e-4)


def test_damaged_mnist_is_refused(tmp_path, monkeypatch):
    copy = tmp_path / "mnist.npz"
    shutil.copy(data.MNIST, copy)
    with open(copy, "r+b") as file:
        file.seek(1000)
        file.write(b"\0")
    monkeypatch.setattr(data, "MNIST", copy)
    with pytest.raises(UserError, match="damaged"):
        data.load()
    with pytest.raises(UserError, match="damaged"):
        data.load_test()


def test_images_are_floats_from_0_to_1(mnist):
    images = sampler(mnist[0]).images().numpy()
    assert images.shape == (64, 28, 28, 1)
    assert images.dtype == np.float32
    assert (images.min(), images.max()) == (0, 1)
    # the chapter's float images are drawn as they are
    floats = mnist[0][:100].astype("float32") / 255
    np.testing.assert_allclose(
        sampler(floats).images(), sampler(mnist[0][:100]).images(), rtol=1e-6
    )


def test_images_are_drawn_with_replacement():
    drawn = sampler(np.arange(256, dtype=np.uint8).reshape(256, 1, 1, 1), batch_size=4096)
    values, counts = np.unique(np.round(drawn.images() * 255), return_counts=True)
    assert len(values) == 256
    assert counts.min() >= 3  # 16 expected: uniform
    assert counts.max() <= 40
    assert len(sampler(np.zeros((2, 4, 4, 1), np.uint8)).images()) == 64


def test_labels_belong_to_their_images():
    x_train = np.repeat(np.arange(10, dtype=np.uint8), 16).reshape(10, 4, 4, 1)
    images, labels = sampler(x_train, np.eye(10, dtype=np.float32)).labelled_images()
    np.testing.assert_array_equal(np.round(images[:, 0, 0, 0] * 255), labels.numpy().argmax(1))


def test_noise_is_uniform():
    noise = sampler(np.zeros((1, 4, 4, 1), np.uint8)).noise(1000).numpy()
    assert noise.shape == (1000, 100)
    assert noise.dtype == np.float32
    assert noise.min() >= -1
    assert noise.max() < 1
    counts, _ = np.histogram(noise, bins=10, range=(-1, 1))
    np.testing.assert_allclose(counts, 10_000, rtol=0.05)


def test_labels_are_uniform_and_one_hot(mnist):
    labels = sampler(*mnist, batch_size=10_000).labels().numpy()
    assert labels.shape == (10_000, 10)
    assert set(np.unique(labels)) == {0, 1}
    assert (labels.sum(axis=1) == 1).all()
    np.testing.assert_allclose(labels.sum(axis=0), 1000, rtol=0.15)


def test_compiled_draws_differ_from_step_to_step_and_repeat_with_the_seed(mnist):
    def batches():
        draw = sampler(*mnist)
        step = tf.function(lambda: (draw.images(), draw.noise(), draw.labels()))
        return step(), step()

    first, second = batches()
    again, _ = batches()
    for one, two, same in zip(first, second, again, strict=True):
        assert (one.numpy() != two.numpy()).any()
        np.testing.assert_array_equal(one, same)


def arrays(**changes):
    good = {"x_train": np.zeros((6, 8, 8), np.uint8), "y_train": np.arange(6) % 3}
    return {name: value for name, value in (good | changes).items() if value is not None}


def test_own_data(tmp_path):
    np.savez(tmp_path / "own.npz", **arrays())
    x_train, y_train = data.load(tmp_path / "own.npz")
    assert x_train.shape == (6, 8, 8, 1)
    np.testing.assert_array_equal(y_train, np.eye(3)[[0, 1, 2, 0, 1, 2]])


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_own_data_with_channels_and_without_labels(save, tmp_path):
    x_train = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 1), np.uint8)
    save(tmp_path / "own.npz", x_train=np.asfortranarray(x_train), more=np.arange(3))
    loaded = data.load(tmp_path / "own.npz", labels=False)
    np.testing.assert_array_equal(loaded.x_train, x_train)
    assert loaded.y_train is None
    assert data.load(labels=False).y_train is None


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"x_train": None}, "no item named 'x_train"),
        ({"y_train": None}, "no item named 'y_train"),
        ({"x_train": np.zeros((6, 8, 8))}, "float64"),
        ({"x_train": np.zeros((6, 8, 4), np.uint8)}, "side"),
        ({"x_train": np.zeros((6, 10, 10), np.uint8)}, "divisible by 4"),
        ({"x_train": np.zeros((6, 260, 260), np.uint8)}, "divisible by 4, up to 256"),
        ({"x_train": np.zeros(6, np.uint8)}, "side"),
        ({"x_train": np.zeros((6, 8, 8, 3), np.uint8)}, r"uint8 \(6, 8, 8, 3\)"),
        ({"x_train": np.zeros((0, 8, 8), np.uint8), "y_train": np.zeros(0, int)}, "x_train"),
        ({"y_train": np.arange(5)}, "y_train"),
        ({"y_train": np.zeros(6)}, "y_train"),
        ({"y_train": np.array([0, 1, 3, 0, 1, 3])}, "labels"),
        ({"y_train": np.array([0, 1, -1, 0, 1, 2])}, "labels"),
        ({"y_train": np.array([0, 1, 2, 0, 1, None])}, "objects"),  # would be unpickled
    ],
)
def test_unfit_data_is_refused(changes, message, tmp_path):
    np.savez(tmp_path / "bad.npz", **arrays(**changes))
    with pytest.raises(UserError, match=message):
        data.load(tmp_path / "bad.npz")


@pytest.mark.parametrize("content", [None, b"", b"no archive", b"PK\3\4 cut off", NPY])
def test_unreadable_data_is_refused(content, tmp_path):
    path = tmp_path / "bad.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match="bad.npz"):
        data.load(path)
    with pytest.raises(UserError):
        data.load(tmp_path)
