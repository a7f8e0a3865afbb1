"""The data set and what the training steps draw from it."""

import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

from lib import data, gan, generator_file, keras2
from lib.plumbing.errors import UserError

import numpy as np
import pytest
import tensorflow as tf
from helpers import TOY_IMAGES, main, toy_models, toy_params
from tensorflow import keras


def sampler(x_train, y_train=None, batch_size=64):
    params = SimpleNamespace(seed=3, batch_size=batch_size, latent_size=100)
    return data.Sampler(params, data.Dataset(x_train, y_train))


def test_mnist(mnist):
    x_train, y_train, classes, source = mnist
    assert (classes, source) == ([*range(10)], None)
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
    labels = sampler(*mnist[:2], batch_size=10_000).labels().numpy()
    assert labels.shape == (10_000, 10)
    assert set(np.unique(labels)) == {0, 1}
    assert (labels.sum(axis=1) == 1).all()
    np.testing.assert_allclose(labels.sum(axis=0), 1000, rtol=0.15)


def test_compiled_draws_differ_from_step_to_step_and_repeat_with_the_seed(mnist):
    def batches():
        draw = sampler(*mnist[:2])
        step = tf.function(lambda: (draw.images(), draw.noise(), draw.labels()))
        return step(), step()

    first, second = batches()
    again, _ = batches()
    for one, two, same in zip(first, second, again, strict=True):
        assert (one.numpy() != two.numpy()).any()
        np.testing.assert_array_equal(one, same)


SQUARES = np.zeros((6, 8, 8), np.uint8)
SQUARES[:, 2:6, 2:6] = 200


@pytest.mark.parametrize(
    "x_train, expected",
    [
        (SQUARES, SQUARES),
        (SQUARES[..., np.newaxis], SQUARES),
        (SQUARES.astype(np.int64), SQUARES),
        (np.asfortranarray(SQUARES), SQUARES),
        (SQUARES > 0, (SQUARES > 0) * 255),
        ((SQUARES > 0).astype(np.int8), (SQUARES > 0) * 255),
        (SQUARES / 255, SQUARES / np.float32(255)),
        (SQUARES.tolist(), SQUARES),
    ],
)
def test_images_as_people_have_them(x_train, expected):
    found = data.dataset(x_train)
    assert found.x_train.dtype in (np.uint8, np.float32)
    np.testing.assert_array_equal(found.x_train[..., 0], expected)
    assert found.source == "an array"
    assert found.image_size == 8


@pytest.mark.parametrize(
    "x_train",
    [
        SQUARES.astype(np.float32),
        SQUARES / 127.5 - 1,
        SQUARES.astype(np.float64) * 9 - 3,
        SQUARES.astype(int) * 9 - 3,
        SQUARES.astype(np.int64) - 100,
        np.stack([SQUARES] * 3, axis=3) / 255,
        np.stack([SQUARES] * 3, axis=3),
        SQUARES[:, :7, :7],
        SQUARES.reshape(6, 64),
    ],
)
def test_what_would_be_guessing_is_refused_with_what_fits(x_train):
    """The message has an expression; what that gives is taken."""
    with pytest.raises(UserError) as raised:
        data.dataset(x_train)
    expression = re.search(r"(?:give|by) (?=[(nx])(.*)", str(raised.value))[1]
    fit = eval(expression, {"np": np, "x_train": x_train, "side": 8, "len": len})
    data.dataset(fit)


@pytest.mark.parametrize(
    "x_train",
    [
        SQUARES[:, :, :4],
        SQUARES[0],
        SQUARES[:0],
        np.zeros((2, 260, 260), np.uint8),
        np.full((2, 8, 8), np.nan),
        np.full((2, 8, 8), "a"),
    ],
)
def test_unfit_images_are_refused(x_train):
    with pytest.raises(UserError, match="x_train is"):
        data.dataset(x_train)


@pytest.mark.parametrize(
    "y_train, classes, columns",
    [
        ([0, 1, 2, 0, 1, 2], [0, 1, 2], [0, 1, 2, 0, 1, 2]),
        ([1, 26, 1, 3, 3, 26], [1, 3, 26], [0, 2, 0, 1, 1, 2]),  # EMNIST's letters begin at 1
        ([[5], [-5], [5], [5], [5], [5]], [-5, 5], [1, 0, 1, 1, 1, 1]),
        (["b", "a", "b", "b", "b", "c"], ["a", "b", "c"], [1, 0, 1, 1, 1, 2]),
        (np.eye(3)[[2, 0, 1, 1, 1, 1]], [0, 1, 2], [2, 0, 1, 1, 1, 1]),
        (np.array([1.0, 2, 1, 2, 1, 2]), [1, 2], [0, 1, 0, 1, 0, 1]),
        ([True, False] * 3, [False, True], [1, 0] * 3),
        (np.array(["b", "a"] * 3, object), ["a", "b"], [1, 0] * 3),  # as pandas has them
        ([b"b", b"a"] * 3, ["a", "b"], [1, 0] * 3),
    ],
)
def test_labels_as_people_have_them(y_train, classes, columns):
    found = data.dataset(SQUARES, np.asarray(y_train))
    assert found.classes == classes
    np.testing.assert_array_equal(found.y_train, np.eye(len(classes))[columns])
    assert found.y_train.dtype == np.float32


@pytest.mark.parametrize(
    "y_train",
    [
        np.arange(5),
        np.zeros(6),
        np.array([0.5, 1, 2, 3, 4, 5]),
        np.ones((6, 2)),
        np.arange(12).reshape(6, 2),
        np.array([{}] * 6),
    ],
)
def test_unfit_labels_are_refused(y_train):
    with pytest.raises(UserError, match="y_train is"):
        data.dataset(SQUARES, y_train)
    with pytest.raises(UserError, match="2 to 1,000"):
        data.dataset(np.repeat(SQUARES, 200, axis=0), np.arange(1200))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_own_file(save, tmp_path, capsys):
    save(tmp_path / "own.npz", x_train=SQUARES, y_train=list("abcabc"), more=np.arange(3))
    found = data.load(tmp_path / "own.npz")
    np.testing.assert_array_equal(found.x_train[..., 0], SQUARES)
    assert (found.classes, found.source) == (["a", "b", "c"], "own.npz")
    assert capsys.readouterr().out == "classes of own.npz: a b c\n"
    assert data.load(tmp_path / "own.npz", labels=False).y_train is None


def test_a_file_without_the_names_is_refused_with_those_that_it_has(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("kmnist.npz", SQUARES, list("abcabc"))
    with pytest.raises(UserError, match="no x_train and no y_train, but arr_0, arr_1") as raised:
        data.load("kmnist.npz")
    exec(re.search(r"as by (.*)", str(raised.value))[1], {"np": np})  # noqa: S102
    assert data.load("own.npz").classes == ["a", "b", "c"]


def test_nothing_is_unpickled(tmp_path):
    class Trap:
        def __reduce__(self):
            return Path.touch, (tmp_path / "executed",)

    np.savez(tmp_path / "bad.npz", x_train=np.array([Trap()], object))
    with pytest.raises(UserError, match="doesn't hold x_train"):
        data.load(tmp_path / "bad.npz", labels=False)
    assert not (tmp_path / "executed").exists()


def test_what_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "bad.npz", x_train=np.zeros((1000, 8, 8), np.uint8))
    monkeypatch.setattr(data, "MAX_BYTES", 1000)
    with pytest.raises(UserError, match="holds 64,128 bytes: give up to 1,000"):
        data.load(tmp_path / "bad.npz", labels=False)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\3\4 cut off"])
def test_unreadable_data_is_refused(content, tmp_path):
    (tmp_path / "bad.npz").write_bytes(content)
    with pytest.raises(UserError, match="bad.npz doesn't hold x_train and y_train"):
        data.load(tmp_path / "bad.npz")


def test_a_notebook_trains_on_arrays(tmp_path, monkeypatch, capsys):
    """Refuses arrays that don't fit; what it saves isn't scored as MNIST unless that's asked for."""
    monkeypatch.chdir(tmp_path)
    _, discriminator, _ = toy_models()
    generator = gan.generator(keras.Input((3,)), 4)
    adversarial = keras2.Adversarial(generator, discriminator)
    adversarial.compile("sgd", "mse")
    models, params = (generator, discriminator, adversarial), toy_params(tmp_path, train_steps=1)
    with pytest.raises(UserError, match="give x_train / 255"):
        gan.train(models, TOY_IMAGES.astype(float), params)
    with pytest.raises(UserError, match="images of side 8: build the networks for it"):
        gan.train(models, SQUARES, params)
    assert not any(tmp_path.iterdir())
    gan.train(models, TOY_IMAGES / 255, params)
    capsys.readouterr()
    assert main("wgan", ["--generator=toy.h5", "--evaluate"], monkeypatch) == 2
    assert "was trained on an array" in capsys.readouterr().err


def test_a_class_by_its_name(tmp_path, monkeypatch, capsys):
    """Trains on letters; the generator knows them, and --digit takes one."""
    monkeypatch.chdir(tmp_path)
    np.savez("own.npz", x_train=SQUARES, y_train=list("abcabc"))
    few = ["--train-steps=1", "--batch-size=2", "--latent-size=6", "--seed=1"]
    assert main("cgan", ["--data=own.npz", *few], monkeypatch) == 0
    assert generator_file.read("cgan_own.h5").classes == ["a", "b", "c"]
    assert json.loads(Path("cgan_own/run.json").read_text())["classes"] == ["a", "b", "c"]
    sample = ["--generator=cgan_own.h5", "--count=4", "--seed=1"]
    assert main("cgan", [*sample, "--digit=c"], monkeypatch) == 0
    assert "c c\nc c\n" in capsys.readouterr().out
    assert main("cgan", [*sample, "--digit=3"], monkeypatch) == 2
    assert "choose from a, b, c" in capsys.readouterr().err
    assert main("cgan", ["--generator=cgan_own.h5", "--evaluate"], monkeypatch) == 2
    assert "was trained on own.npz" in capsys.readouterr().err
