"""What a generator's file is used for: pictures and data sets."""

import multiprocessing
import shutil
from pathlib import Path

from lib import gan
from lib.generator import Generator
from lib.plumbing.files import write_new

import keras2_listings
import matplotlib.pyplot as plt
import numpy as np
import pytest
from helpers import main, saved
from PIL import Image
from tensorflow import keras


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The folder of a generator of noise alone, and of one that takes digits."""
    folder = tmp_path_factory.mktemp("generators")
    noise, labels = keras.Input((100,)), keras.Input((10,))
    gan.generator(noise, 8).save(folder / "plain.h5")
    gan.generator(noise, 8, labels=labels).save(folder / "conditional.h5")
    return folder


@pytest.mark.parametrize("conditional", [False, True])
def test_generators_of_keras_2_draw_the_same_here(conditional, tmp_path):
    model = keras2_listings.build_generator(keras2_listings.Input((10,)) if conditional else None)
    inputs = [np.full((2, 100), 0.5), np.eye(10)[:2]][: 1 + conditional]
    model(inputs if conditional else inputs[0], training=True)  # moves the averages
    model.save(tmp_path / "keras2.h5")
    loaded = Generator.load(tmp_path / "keras2.h5")
    images = model(inputs if conditional else inputs[0])
    np.testing.assert_allclose(loaded.draw(inputs), images, atol=1e-5)


def sample(name, arguments, files, monkeypatch, capsys):
    monkeypatch.chdir(files)
    assert main(name, arguments, monkeypatch) == 0
    output = capsys.readouterr().out
    return output, plt.imread(saved(output))


def test_seed_repeats_a_sample(files, monkeypatch, capsys):
    def draw(seed):
        arguments = ["--generator=plain.h5", f"--seed={seed}"]
        return sample("wgan", arguments, files, monkeypatch, capsys)[1]

    np.testing.assert_array_equal(draw(1), draw(1))
    assert (draw(1) != draw(2)).any()


def test_count_and_digit(files, monkeypatch, capsys):
    arguments = ["--generator=conditional.h5", "--count=10", "--digit=7"]
    output, picture = sample("acgan", arguments, files, monkeypatch, capsys)
    assert "7 7 7 7\n7 7 7 7\n7 7\n" in output
    assert "conditional_digit7_10_seed" in output
    # 3 rows of 4, each image with 2 pixels of gap around, doubled
    assert picture.shape[:2] == (2 * (3 * 10 + 2), 2 * (4 * 10 + 2))
    assert (picture[44:, 44:] == 1).all()  # the last two places stay empty


def test_random_digits_are_printed(files, monkeypatch, capsys):
    arguments = ["--generator=conditional.h5", "--seed=1"]
    output, _ = sample("cgan", arguments, files, monkeypatch, capsys)
    rows = output.splitlines()[1:5]
    assert [len(row.split()) for row in rows] == [4, 4, 4, 4]
    digits = {int(digit) for row in rows for digit in row.split()}
    assert digits <= set(range(10))
    assert len(digits) > 3


def test_interpolation_draws_rows_and_a_walk(files, tmp_path, monkeypatch, capsys):
    arguments = [f"--generator={files}/conditional.h5", "--interpolate", "--seconds=1", "--seed=1"]
    output, _ = sample("acgan", arguments, tmp_path, monkeypatch, capsys)
    rows = [set(line.split()) for line in output.splitlines()[1:5]]
    assert [len(digits) for digits in rows] == [1] * 4
    walk = Path("test_outputs/conditional_interpolated_seed1_1s_walk.gif")
    assert f"saved {walk}" in output
    with Image.open(tmp_path / walk) as gif:
        assert gif.n_frames == 20


def test_interpolation_walks_in_equal_steps():
    model = gan.generator(keras.Input((100,)), 4, labels=keras.Input((10,)))
    noise, labels = Generator(model).inputs(16, seed=1, layout="walk")
    rows = np.reshape(noise, (4, 4, 100))
    steps = np.diff(rows, axis=1)
    np.testing.assert_allclose(steps, np.repeat(steps[:, :1], 3, axis=1), atol=1e-6)
    assert np.abs(steps).max(axis=(1, 2)).min() > 0.1
    digits = np.argmax(labels, axis=1).reshape(4, 4)
    np.testing.assert_array_equal(digits, np.repeat(digits[:, :1], 4, axis=1))


def test_plot_images_puts_each_image_in_its_place(tmp_path):
    noise = keras.Input((16,))
    images = keras.layers.Reshape((4, 4, 1))(noise)
    values = np.repeat(np.linspace(0, 0.9, 10, dtype="float32")[:, None], 16, axis=1)
    path = gan.plot_images(
        keras.Model(noise, images), values, step=7, model_name=tmp_path / "some_model"
    )
    assert path == tmp_path / "some_model" / "00007.png"
    picture = plt.imread(path)[..., 0]
    assert picture.shape == (2 * (3 * 6 + 2), 2 * (4 * 6 + 2))
    places = picture[4:, 4:].reshape(3, 12, 4, 12)[:, :8, :, :8].swapaxes(1, 2)
    means = places.mean(axis=(2, 3)).ravel()
    np.testing.assert_allclose(means[:10], values[:, 0], atol=1 / 255)
    np.testing.assert_array_equal(means[10:], 1)


def test_no_sample_replaces_another(files, tmp_path, monkeypatch, capsys):
    def draw(source):
        shutil.copy(files / source, tmp_path / "generator.h5")
        return sample(
            "wgan", ["--generator=generator.h5", "--seed=1"], tmp_path, monkeypatch, capsys
        )

    gan.generator(keras.Input((100,)), 4).save(files / "small.h5")
    first, *_ = draw("plain.h5")
    other, *_ = draw("small.h5")
    again, *_ = draw("small.h5")
    assert saved(first) == Path("test_outputs/generator_seed1.png")
    assert saved(other) == saved(again) == Path("test_outputs/generator_seed1-2.png")
    assert "--seed=1 draws it again" in first


@pytest.mark.parametrize("name, arrays", [("lsgan", {"x_train"}), ("cgan", {"x_train", "y_train"})])
def test_drawn_images_are_a_data_set(name, arrays, files, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = files / ("conditional.h5" if name == "cgan" else "plain.h5")
    arguments = [f"--generator={path}", "--npz=drawn.npz", "--count=60", "--seed=1"]
    assert main(name, arguments, monkeypatch) == 0
    with np.load("drawn.npz") as found:
        assert set(found) == arrays
        images = found["x_train"]
    generator = Generator.load(path)
    drawn = generator.draw(generator.inputs(60, seed=1))
    np.testing.assert_allclose(images / 255, drawn[..., 0], atol=0.5001 / 255)
    flags = ["--data=drawn.npz", "--train-steps=1", "--batch-size=2"]
    assert main(name, flags, monkeypatch) == 0
    assert Path(f"{name}_drawn.h5").exists()
    assert main(name, arguments, monkeypatch) == 2  # a data set isn't replaced
    assert "drawn.npz exists" in capsys.readouterr().err


@pytest.mark.parametrize("different", [False, True])
def test_twelve_samplers_at_once_into_one_folder(different, tmp_path):
    path = tmp_path / "test_outputs" / "generator_seed1.png"
    contents = [bytes([number if different else 0]) * 2**18 for number in range(12)]
    processes = multiprocessing.get_context("fork")
    samplers = [processes.Process(target=write_new, args=(path, content)) for content in contents]
    for sampler in samplers:
        sampler.start()
    for sampler in samplers:
        sampler.join()
    assert [sampler.exitcode for sampler in samplers] == [0] * 12
    found = [picture.read_bytes() for picture in path.parent.iterdir()]
    assert sorted(found) == sorted(set(contents))
