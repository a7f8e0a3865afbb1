"""The scores of generators: by evaluation's functions, by --evaluate, and along training."""

import csv
import json

from lib import data, gan, generator_file
from lib.plumbing.errors import UserError
from lib.plumbing.tf import keras, layers
from lib.sampling import use
from lib.scoring import evaluation
from lib.scoring.table import COLUMNS, SPREAD, scalars, table

import numpy as np
import pytest
from helpers import events, main, train
from scipy.ndimage import gaussian_filter

LABELLED = {
    *("accuracy", "digit_accuracy", "diversity", "digit_diversity"),
    "classification_accuracy_score",
}


@pytest.fixture(scope="module")
def real():
    return evaluation.evaluate_real(seed=1, count=1000)


def linear(weights, *inputs, bias=None):
    """Build a generator of one layer, of the last of its inputs."""
    layer = layers.Dense(784, use_bias=bias is not None)
    images = layers.Reshape((28, 28, 1))(layer(inputs[-1]))
    layer.set_weights([weights] if bias is None else [weights, bias])
    return keras.Model([*inputs] if len(inputs) > 1 else inputs[0], images)


@pytest.fixture(scope="module")
def one_image_a_digit(mnist):
    """A generator that draws the digit which is requested, always the same training image."""
    rows = [np.flatnonzero(mnist.y_train[:, digit])[0] for digit in range(10)]
    images = mnist.x_train[rows].reshape(10, 784) / np.float32(255)
    return linear(images, keras.Input((6,)), keras.Input((10,)))


def test_real_images_score_best(real):
    assert real["count"] == 1000
    assert real["frechet_distance"] < 10
    assert real["mnist_score"] > 9.5
    assert real["precision"] > 0.75
    assert real["coverage"] > 0.9
    assert real["recall"] > 0.8
    assert real["total_variation"] < 0.06
    assert real["accuracy"] > 0.99
    assert min(real["digit_accuracy"]) > 0.95
    assert real["classification_accuracy_score"] > 0.9
    assert real["diversity"] == pytest.approx(1, abs=0.05)
    assert sum(real["digit_shares"]) == pytest.approx(1)
    assert json.loads(json.dumps(real)) == real


def test_scores_repeat_with_the_seed(real):
    assert evaluation.evaluate_real(seed=1, count=1000) == real
    assert evaluation.evaluate_real(seed=2, count=1000) != real
    generator = linear(np.eye(6, 784), keras.Input((6,)))
    first = evaluation.evaluate(generator, seed=1, count=1000)
    assert evaluation.evaluate(generator, seed=1, count=1000) == first
    assert evaluation.evaluate(generator, seed=2, count=1000) != first


def test_generator_is_scored_in_inference_mode_and_left_as_it_is():
    generator = gan.generator(keras.Input((6,)), 28)
    before = generator.get_weights()  # moving averages among them
    result = evaluation.evaluate(generator, seed=1, count=1000)
    for one, other in zip(before, generator.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    # grey images, in which the classifier sees hardly more than one digit
    assert result["frechet_distance"] > 100
    assert result["precision"] == result["recall"] == 0
    assert result["coverage"] < 0.01
    assert result["mnist_score"] < 1.5
    assert not LABELLED & set(result)


@pytest.mark.parametrize("draw", ["grey", "white", "mean", "blurred"])
def test_images_without_digits_are_not_precise(draw):
    # as many as wide balls need to take them in: of 1,000 test images none holds them
    x_test = data.load_test()[0][::4] / np.float32(255)
    images = {
        "grey": np.full_like(x_test, 0.5),
        "white": np.ones_like(x_test),
        "mean": np.broadcast_to(x_test.mean(axis=0), x_test.shape),
        "blurred": gaussian_filter(x_test, (0, 3, 3, 0)),
    }
    found = evaluation.score(images[draw], None, None)
    assert found["precision"] < 0.02
    assert found["coverage"] < 0.02


def test_requested_digits_without_diversity(one_image_a_digit, real):
    result = evaluation.evaluate(one_image_a_digit, seed=1, count=1000)
    digits = data.load_test()[1][::10].argmax(axis=1)  # those of the test images are requested
    np.testing.assert_allclose(result["digit_shares"], np.bincount(digits) / 1000)
    assert result["total_variation"] == pytest.approx(0)
    assert result["digit_accuracy"] == [1] * 10
    assert result["accuracy"] == 1
    assert result["mnist_score"] > 9.5
    assert result["diversity"] == pytest.approx(0, abs=1e-4)
    assert result["digit_diversity"] == pytest.approx([0] * 10, abs=1e-4)
    assert max(result["coverage"], result["recall"]) < 0.1
    best = real["classification_accuracy_score"]
    assert 0.3 < result["classification_accuracy_score"] < best - 0.1


def test_collapsed_generator():
    seven = data.load_test()[0][0].ravel() / 255  # the first test image
    generator = linear(np.zeros((6, 784)), keras.Input((6,)), bias=seven)
    result = evaluation.evaluate(generator, seed=1, count=1000)
    assert result["digit_shares"][7] == 1
    assert result["total_variation"] == pytest.approx(0.9, abs=0.03)
    assert result["mnist_score"] == pytest.approx(1)
    assert max(result["coverage"], result["recall"]) < 0.01


def test_generator_gone_wrong():
    generator = linear(np.full((10, 784), np.nan), keras.Input((6,)), keras.Input((10,)))
    result = evaluation.evaluate(generator, seed=1, count=1000)
    for key in "frechet_distance", "mnist_score", "diversity":
        assert np.isnan(result[key])
    assert result["precision"] == result["coverage"] == result["recall"] == 0
    assert result["accuracy"] == 0
    assert result["classification_accuracy_score"] < 0.2  # chance
    assert result["total_variation"] == 1
    assert "nan" in table({"broken": result})


def test_categories_of_an_infogan_are_not_requested_digits(mnist):
    categories, codes = keras.Input((7,)), [keras.Input((1,)), keras.Input((1,))]
    x = layers.Dense(784, "sigmoid")(layers.Concatenate()([categories, *codes]))
    inputs = [keras.Input((6,)), categories, *codes]
    generator = keras.Model(inputs, layers.Reshape((28, 28, 1))(x))
    result = evaluation.evaluate(generator, seed=1, count=1000)
    assert not LABELLED & set(result)
    assert evaluation.evaluate(generator, seed=1, count=1000) == result


@pytest.mark.parametrize("size, labels", [(32, None), (28, 7)])
def test_what_the_classifier_does_not_know_is_refused(size, labels):
    generator = gan.generator(keras.Input((6,)), size, labels=labels and keras.Input((labels,)))
    with pytest.raises(UserError, match="MNIST"):
        evaluation.evaluate(generator, seed=1, count=1000)


@pytest.mark.parametrize("count", [999, 10_001])
def test_counts_without_a_reference_are_refused(count, one_image_a_digit):
    with pytest.raises(UserError, match=str(count)):
        evaluation.evaluate(one_image_a_digit, seed=1, count=count)


def test_table(real):
    unconditional = {key: value for key, value in real.items() if key not in LABELLED}
    text = table({"lsgan_mnist.h5": unconditional, "training images": real})
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["1000", "images", "lsgan_mnist.h5", "training", "images", "±"]
    printed = {name: cells for name, *cells in map(str.split, lines[1:10])}
    # coverage ahead of recall
    assert list(printed)[2:5] == ["precision", "coverage", "recall"]
    keys = [key for key, _ in COLUMNS.values()]
    for (fake, best, spread), key in zip(printed.values(), keys, strict=True):
        assert float(best) == pytest.approx(real[key], abs=0.006)
        assert fake == (best if key in unconditional else "-")
        assert float(spread) == SPREAD[key]
    assert f"{real['digit_accuracy'][9]:.3f}" in text
    assert "not the FID" in text


def test_evaluate_flag(few_images, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    generator_file.save(gan.generator(keras.Input((6,)), 28, labels=keras.Input((10,))), "some.h5")
    assert main("acgan", ["--generator=some.h5", "--evaluate", "--seed=1"], monkeypatch) == 0
    found = json.loads((tmp_path / "test_outputs" / "some_scores_seed1.json").read_text())
    assert set(found) == {"seed", "some", "training images"}
    assert found["seed"] == 1
    assert found["training images"]["frechet_distance"] < found["some"]["frechet_distance"]
    assert {"coverage", *LABELLED} <= set(found["some"])
    output = capsys.readouterr().out
    row = next(line for line in output.splitlines() if line.startswith("FD"))
    expected = [f"{found[name]['frechet_distance']:.2f}" for name in ("some", "training images")]
    assert row.split()[1:3] == expected
    assert output.endswith("saved test_outputs/some_scores_seed1.json\n")


def test_evaluate_flag_draws_10000_images(tmp_path, monkeypatch):
    generator = linear(np.eye(6, 784), keras.Input((6,)))
    # the scores themselves take half a minute
    monkeypatch.setattr(use, "table", str)
    monkeypatch.setattr(evaluation, "score", lambda images, *_: {"count": len(images)})
    use.evaluate(generator, tmp_path / "some", seed=1)
    found = json.loads((tmp_path / "some_scores_seed1.json").read_text())
    assert [found[name]["count"] for name in ("some", "training images")] == [10_000, 10_000]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--evaluate"], "--evaluate goes with sampling"),
        (["--generator=other.h5", "--evaluate", "--count=3"], "doesn't go with --evaluate"),
        (["--generator=other.h5", "--evaluate"], "trained on letters.npz"),
        (["--evaluate-interval=0"], "'0' is no whole number"),
        (["--data=own.npz", "--evaluate-interval=2"], "scores compare with MNIST's digits"),
        (["--data=own.npz", "--evaluate-interval=2", "--against-mnist"], "scores are for MNIST"),
    ],
)
def test_what_cannot_be_scored_is_refused_in_one_line(
    arguments, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    generator_file.save(gan.generator(keras.Input((6,)), 28), "other.h5", source="letters.npz")
    np.savez("own.npz", x_train=np.zeros((4, 12, 12), np.uint8))
    assert main("lsgan", arguments, monkeypatch) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.h5", "own.npz"]


def test_a_generator_of_other_data_is_scored_on_request(few_images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    generator_file.save(gan.generator(keras.Input((6,)), 28), "other.h5", source="letters.npz")
    arguments = ["--generator=other.h5", "--evaluate", "--against-mnist", "--seed=1"]
    assert main("lsgan", arguments, monkeypatch) == 0


def test_scores_join_the_history_and_change_nothing_that_is_trained(few_images, tmp_path, mnist):
    plain, *_ = train("lsgan", tmp_path / "plain", mnist, steps=8)
    scored, *_ = train("lsgan", tmp_path, mnist, "--evaluate-interval=4", steps=8)
    for one, other in zip(plain.get_weights(), scored.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    with open(tmp_path / "lsgan_mnist" / "history.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["3", "4", "6", "8"]
    assert [bool(row["recall"]) for row in rows] == [False, True, False, True]
    expected = scalars(evaluation.evaluate(scored, seed=5))
    assert {key: float(rows[-1][key]) for key in expected} == expected
    assert {"frechet_distance", "coverage", "total_variation"} <= set(expected)
    assert {(4, "recall"), (8, "recall")} <= set(events(tmp_path / "lsgan_mnist"))
