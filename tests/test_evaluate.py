"""--evaluate, --evaluate-interval and --plot-model."""

import csv
import json
import shutil
from argparse import Namespace

from lib import evaluation, gan, sampling

import matplotlib.pyplot as plt
import numpy as np
import pytest
from helpers import FEW_STEPS, events, main, train
from tensorflow import keras
from tensorflow.keras import layers


@pytest.fixture
def generator(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    gan.generator(keras.Input((100,)), 28, labels=keras.Input((10,))).save("some.h5")


def test_evaluate(generator, few_images, monkeypatch, capsys):
    def evaluate(seed):
        assert (
            main("acgan", ["--generator=some.h5", "--evaluate", f"--seed={seed}"], monkeypatch) == 0
        )
        with open(f"test_outputs/some_scores_seed{seed}.json") as file:
            return json.load(file), capsys.readouterr().out

    found, output = evaluate(1)
    assert found["seed"] == 1
    assert set(found) == {"seed", "some", "training images"}
    assert found["training images"]["frechet_distance"] < found["some"]["frechet_distance"]
    assert len(found["some"]["digit_accuracy"]) == 10
    assert {"coverage", "gan_train"} <= set(found["some"])
    row = next(line for line in output.splitlines() if line.startswith("FD"))
    expected = [f"{found[name]['frechet_distance']:.2f}" for name in ("some", "training images")]
    assert row.split()[1:3] == expected
    assert output.endswith("saved test_outputs/some_scores_seed1.json\n")
    assert evaluate(1)[0] == found
    assert evaluate(2)[0] != found


def test_evaluate_draws_10000_images(tmp_path, monkeypatch):
    noise = keras.Input((100,))
    images = layers.Reshape((28, 28, 1))(layers.Dense(784, "sigmoid")(noise))
    quick = keras.Model(noise, images)
    # the scores themselves take half a minute
    monkeypatch.setattr(evaluation, "_evaluate", lambda images, *_: {"count": len(images)})
    sampling.evaluate(quick, tmp_path / "some", Namespace(seed=1))
    with open(tmp_path / "some_scores_seed1.json") as file:
        found = json.load(file)
    assert [found[name]["count"] for name in ("some", "training images")] == [10_000, 10_000]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--evaluate"], "--evaluate goes with --generator"),
        (["--generator=some.h5", "--evaluate", "--digit=3"], "doesn't go with --evaluate"),
        (["--generator=some.h5", "--evaluate", "--count=3"], "doesn't go with --evaluate"),
        (["--evaluate-interval=0"], "'0' is no whole number"),
        (["--plot-model=networks.jpg"], "'networks.jpg' is no name of a .png file"),
        (["--plot-model=.png"], "'.png' is no name of a .png file"),
    ],
)
def test_bad_input_is_one_line(arguments, message, generator, monkeypatch, capsys):
    assert main("acgan", arguments, monkeypatch) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error


def test_scores_of_other_images_are_refused_before_training(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    images = np.zeros((4, 12, 12), np.uint8)
    np.savez("own.npz", x_train=images, y_train=[0, 1, 0, 1])
    flags = ["--data=own.npz", "--evaluate-interval=2", "--against-mnist", *FEW_STEPS]
    assert main("lsgan", flags, monkeypatch) == 2
    assert "scores are for MNIST" in capsys.readouterr().err
    assert not (tmp_path / "lsgan_own").exists()


def test_scores_join_the_history(few_images, tmp_path, mnist):
    generator, *_ = train("lsgan", tmp_path, mnist, "--evaluate-interval=4", steps=8)
    with open(tmp_path / "lsgan_mnist" / "history.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["3", "4", "6", "8"]
    assert [bool(row["recall"]) for row in rows] == [False, True, False, True]
    expected = evaluation.scalars(evaluation.evaluate(generator, seed=5))
    assert {key: float(rows[-1][key]) for key in expected} == expected
    assert {"frechet_distance", "coverage", "total_variation"} <= set(expected)
    assert {(4, "recall"), (8, "recall")} <= set(events(tmp_path / "lsgan_mnist"))


def test_scores_change_nothing_that_is_trained(few_images, tmp_path, mnist):
    plain, *_ = train("lsgan", tmp_path / "plain", mnist, steps=6)
    scored, *_ = train("lsgan", tmp_path / "scored", mnist, "--evaluate-interval=2", steps=6)
    for one, other in zip(plain.get_weights(), scored.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_scores_of_other_data_are_asked_for(few_images, tmp_path, mnist, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.savez("letters.npz", x_train=mnist.x_train[:64, ..., 0])
    train = ["--data=letters.npz", "--evaluate-interval=4", *FEW_STEPS]
    evaluate = ["--generator=lsgan_letters.h5", "--evaluate"]
    assert main("lsgan", train, monkeypatch) == 2
    assert main("lsgan", [*train, "--against-mnist"], monkeypatch) == 0
    go_on = ["--resume", "--model-name=lsgan_letters", "--train-steps=6"]
    assert main("lsgan", go_on, monkeypatch) == 0
    assert main("lsgan", evaluate, monkeypatch) == 2
    assert "trained on letters.npz" in capsys.readouterr().err
    assert main("lsgan", [*evaluate, "--against-mnist"], monkeypatch) == 0


@pytest.mark.skipif(not shutil.which("dot"), reason="Graphviz is not installed")
@pytest.mark.parametrize("name", ["lsgan", "cgan", "acgan"])
def test_plot_model(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(name, [*FEW_STEPS, "--plot-model=networks.png"], monkeypatch) == 0
    assert min(plt.imread("networks.png").shape[:2]) > 500
    assert [path.name for path in tmp_path.iterdir()] == ["networks.png"]  # nothing was trained


def test_plot_model_without_graphviz(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main("lsgan", [*FEW_STEPS, "--plot-model=networks.png"], monkeypatch) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "install" in error
    assert not list(tmp_path.iterdir())


def test_plot_model_replaces_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.png").write_bytes(b"a picture")
    assert main("lsgan", [*FEW_STEPS, "--plot-model=own.png"], monkeypatch) == 2
    assert "own.png exists: remove it" in capsys.readouterr().err
    assert (tmp_path / "own.png").read_bytes() == b"a picture"
    (tmp_path / "link.png").symlink_to("nowhere.png")
    assert main("lsgan", [*FEW_STEPS, "--plot-model=link.png"], monkeypatch) == 2
    assert (tmp_path / "link.png").is_symlink()
