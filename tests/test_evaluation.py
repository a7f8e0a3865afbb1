"""The scores of generators: by evaluation's functions, by --evaluate, and along training."""

import csv
import json
from argparse import Namespace
from contextlib import redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path

from lib import data, gan
from lib.generator import Generator
from lib.plumbing.errors import UserError
from lib.plumbing.tf import keras, layers
from lib.scoring import classification_accuracy, classifier, evaluation
from lib.scoring.table import COLUMNS, scalars, table

import h5py
import numpy as np
import pytest
from helpers import events, main, saved, toy_models, toy_params, toy_run
from scipy.ndimage import gaussian_filter

LABELLED = {
    *("accuracy", "class_accuracy", "diversity", "class_diversity"),
    "classification_accuracy_score",
}


@pytest.fixture(scope="module", autouse=True)
def few_batches():
    """Compute the classification accuracy score in two seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classification_accuracy, "BATCHES", 40)
        yield


def linear(weights, *inputs, bias=None):
    """Build a generator of one layer, of the last of its inputs."""
    layer = layers.Dense(784, use_bias=bias is not None)
    images = layers.Reshape((28, 28, 1))(layer(inputs[-1]))
    layer.set_weights([weights] if bias is None else [weights, bias])
    return keras.Model([*inputs] if len(inputs) > 1 else inputs[0], images)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory, mnist):
    """Run --evaluate, for 1,000 images; return what it prints and what it writes.

    Its generator draws the digit that is requested, always the same training image.
    """
    rows = [np.flatnonzero(mnist.y_train[:, digit])[0] for digit in range(10)]
    images = mnist.x_train[rows].reshape(10, 784) / np.float32(255)
    output = StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(output):
        patch.chdir(tmp_path_factory.mktemp("evaluated"))
        patch.setattr(evaluation, "MOST", 1000)
        Generator(linear(images, keras.Input((6,)), keras.Input((10,)))).save("ten.h5")
        assert main("acgan", ["--generator=ten.h5", "--evaluate", "--seed=1"], patch) == 0
        found = json.loads(Path("test_outputs/ten_scores_seed1.json").read_text())
    return output.getvalue(), found


@pytest.fixture(scope="module")
def real(evaluated):
    return evaluated[1]["training images"]


def test_real_images_score_best(real):
    assert real["count"] == 1000
    assert real["frechet_distance"] < 10
    assert real["classifier_score"] > 9.5
    assert real["precision"] > 0.75
    assert real["coverage"] > 0.9
    assert real["recall"] > 0.8
    assert real["total_variation"] < 0.06
    assert real["accuracy"] > 0.99
    assert min(real["class_accuracy"]) > 0.95
    assert real["classification_accuracy_score"] > 0.75
    assert real["diversity"] == pytest.approx(1, abs=0.05)
    assert sum(real["class_shares"]) == pytest.approx(1)


def test_scores_repeat_with_the_seed(real):
    """Scores an InfoGAN too, whose categories are no digits that were requested."""
    assert evaluation.evaluate_real(seed=1, count=1000) == real
    assert evaluation.evaluate_real(seed=2, count=1000) != real
    categories, codes = keras.Input((7,)), [keras.Input((1,)), keras.Input((1,))]
    x = layers.Dense(784, "sigmoid")(layers.Concatenate()([categories, *codes]))
    inputs = [keras.Input((6,)), categories, *codes]
    generator = keras.Model(inputs, layers.Reshape((28, 28, 1))(x))
    first, again, other = (evaluation.evaluate(generator, seed, 1000) for seed in (1, 1, 2))
    assert first == again != other
    assert not LABELLED & set(first)


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
    assert result["classifier_score"] < 1.5
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


def test_requested_digits_without_diversity(evaluated, real):
    result = evaluated[1]["ten"]
    digits = data.load_test()[1][::10].argmax(axis=1)  # those of the test images are requested
    np.testing.assert_allclose(result["class_shares"], np.bincount(digits) / 1000)
    assert result["total_variation"] == pytest.approx(0)
    assert result["class_accuracy"] == [1] * 10
    assert result["accuracy"] == 1
    assert result["classifier_score"] > 9.5
    assert result["diversity"] == pytest.approx(0, abs=1e-4)
    assert result["class_diversity"] == pytest.approx([0] * 10, abs=1e-4)
    assert max(result["coverage"], result["recall"]) < 0.1
    best = real["classification_accuracy_score"]
    assert 0.3 < result["classification_accuracy_score"] < best - 0.1


def test_generator_gone_wrong():
    generator = linear(np.full((10, 784), np.nan), keras.Input((6,)), keras.Input((10,)))
    result = evaluation.evaluate(generator, seed=1, count=1000)
    for key in "frechet_distance", "classifier_score", "diversity":
        assert np.isnan(result[key])
    assert result["precision"] == result["coverage"] == result["recall"] == 0
    assert result["accuracy"] == 0
    assert result["classification_accuracy_score"] < 0.2  # chance
    assert result["total_variation"] == 1
    assert "nan" in table({"broken": result})


@pytest.mark.parametrize("size, labels", [(32, None), (28, 7)])
def test_what_the_classifier_does_not_know_is_refused(size, labels):
    generator = gan.generator(keras.Input((6,)), size, labels=labels and keras.Input((labels,)))
    with pytest.raises(UserError, match="MNIST"):
        evaluation.evaluate(generator, seed=1, count=1000)


def test_counts_without_a_reference_are_refused():
    reference = evaluation.mnist()
    assert evaluation.checked_count(None, reference) == 10_000
    for count in 999, 10_001:
        with pytest.raises(UserError, match=str(count)):
            evaluation.checked_count(count, reference)


def test_table(real):
    unconditional = {key: value for key, value in real.items() if key not in LABELLED}
    text = table({"lsgan_mnist.h5": unconditional, "training images": real})
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["1000", "images", "lsgan_mnist.h5", "training", "images", "±"]
    printed = {name: cells for name, *cells in map(str.split, lines[1:10])}
    # coverage ahead of recall
    assert list(printed)[2:5] == ["precision", "coverage", "recall"]
    for cells, (key, _, spread) in zip(printed.values(), COLUMNS.values(), strict=True):
        fake, best, told = cells
        assert float(best) == pytest.approx(real[key], abs=0.006)
        assert fake == (best if key in unconditional else "-")
        assert float(told) == spread
    assert f"{real['class_accuracy'][9]:.3f}" in text
    assert "not the FID" in text


def test_evaluate_flag(evaluated, real):
    output, found = evaluated
    assert set(found) == {"seed", "compared_with", "ten", "training images"}
    assert found["seed"] == 1
    assert real["frechet_distance"] < found["ten"]["frechet_distance"]
    assert {"coverage", *LABELLED} <= set(found["ten"])
    row = next(line for line in output.splitlines() if line.startswith("FD"))
    expected = [f"{found[name]['frechet_distance']:.2f}" for name in ("ten", "training images")]
    assert row.split()[1:3] == expected
    assert output.endswith("saved test_outputs/ten_scores_seed1.json\n")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--generator=other.h5", "--data=mnist"], "--data goes with --evaluate"),
        (["--generator=other.h5", "--evaluate"], "add --data=mnist"),
        (["--generator=other.h5", "--evaluate", "--data=few.npz"], "these are 4, and 2 of the"),
        (["--data=few.npz", "--evaluate-interval=2"], "at least 1,000 and 20 of each class"),
    ],
)
def test_what_cannot_be_scored_is_refused_in_one_line(
    arguments, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    Generator(gan.generator(keras.Input((6,)), 28), source="letters.npz").save("other.h5")
    images, labels = np.full((24, 28, 28, 3), 255, np.uint8), np.repeat(["a", "b"], 12)
    images[0] = 0
    np.savez("few.npz", x_train=images, y_train=labels)
    assert main("lsgan", arguments, monkeypatch) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["few.npz", "other.h5"]


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """Write labelled images, bright above or below, as few as can be scored; return the file."""
    rng = np.random.default_rng(1)
    labels = rng.choice(["above", "below"], 6200)
    images = rng.integers(0, 128, (6200, 4, 4, 3), np.uint8)
    images[labels == "above", :2] += 127
    images[labels == "below", 2:] += 127
    path = tmp_path_factory.mktemp("data") / "own.npz"
    np.savez(path, x_train=images, y_train=labels)
    return path


def test_scores_join_the_history_and_change_nothing_that_is_trained(
    own, tmp_path, monkeypatch, capsys
):
    untrained = classifier.build((4, 4, 1), 2)
    monkeypatch.setattr(classifier, "train", lambda images, labels: untrained)
    dataset = data.load(own, grey=True, labels=False)  # for its scores labels are read
    like = {"train_steps": 8, "data": str(own), "grey": True, "image_size": None}
    plain, scored = toy_models(), toy_models()
    gan.train(plain, dataset, toy_params(tmp_path / "plain", **like))
    params = toy_params(tmp_path, evaluate_interval=4, **like)
    gan.train(scored, dataset, params)
    for one, other in zip(plain[0].get_weights(), scored[0].get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    with open(tmp_path / "toy" / "history.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["3", "4", "6", "8"]
    assert [bool(row["recall"]) for row in rows] == [False, True, False, True]
    reference = evaluation.reference_for(scored[0], dataset, params)
    expected = scalars(evaluation.evaluate(scored[0], seed=5, quick=True, reference=reference))
    assert {key: float(rows[-1][key]) for key in expected} == expected
    assert {"frechet_distance", "coverage", "total_variation"} <= set(expected)
    assert {(4, "recall"), (8, "recall")} <= set(events(tmp_path / "toy"))
    assert capsys.readouterr().out.count("training a classifier") == 1


def test_own_data_are_scored_while_training_and_after_it(own, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(classifier, "train", partial(classifier.train, epochs=1))
    steps = ["--train-steps=2", "--evaluate-interval=1", "--keep-interval=2", "--batch-size=4"]
    assert main("acgan", [*steps, f"--data={own}", "--seed=1"], monkeypatch) == 0
    output = capsys.readouterr().out
    assert output.count("training a classifier") == 1
    with open("acgan_own/history.csv") as file:
        rows = {int(row["step"]): row for row in csv.DictReader(file) if row["recall"]}
    assert [*rows] == [1, 2]
    with h5py.File("acgan_own_best.h5") as file:
        step = int(file.attrs["step"])
    row = min(rows.values(), key=lambda row: float(row["frechet_distance"]))
    assert step == int(row["step"])
    best = f"acgan_own_best.h5, of step {step}, FD {float(row['frechet_distance']):.2f}"
    assert best in output.splitlines()[-1]
    assert Path("acgan_own/scores.png").exists()
    assert [path.name for path in Path("acgan_own/generators").iterdir()] == ["00002.h5"]

    arguments = ["--generator=acgan_own_best.h5", "--evaluate", f"--data={own}", "--seed=1"]
    assert main("acgan", arguments, monkeypatch) == 0
    output = capsys.readouterr().out
    assert "training a classifier" not in output
    assert "own_npz_classifier_" in output
    assert "±" not in output
    found = json.loads(saved(output).read_text())
    scores, real = found["acgan_own_best"], found["training images"]
    assert scores["count"] == 1034
    for key, value in scalars(scores).items():
        if key in row:  # all but what takes longest
            assert float(row[key]) == pytest.approx(value, rel=1e-6, abs=1e-6)
    assert scores.keys() >= LABELLED
    assert len(scores["class_shares"]) == 2
    assert real["frechet_distance"] < scores["frechet_distance"]
    assert real["classification_accuracy_score"] > 0.75


def test_split_holds_a_sixth_of_each_class():
    images = np.arange(7200 * 16).reshape(7200, 4, 4) % 251
    dataset = data.dataset(images, np.repeat([3, 5, 7], [5000, 2000, 200]))
    train, held, labels = evaluation.split(dataset)
    assert np.bincount(labels).tolist() == [834, 333, 33]
    assert len(held) == 1200
    assert train.y_train.sum(axis=0).tolist() == [4166, 1667, 167]
    few = dataset._replace(x_train=dataset.x_train[:7100], y_train=dataset.y_train[:7100])
    with pytest.raises(UserError, match="1,184, and 17 of the rarest"):
        evaluation.split(few)


def test_a_run_that_gets_worse_leaves_its_best_generator(tmp_path, monkeypatch, capsys):
    class Killed(BaseException):
        pass

    def kill(step, _):
        if step == 9:
            raise Killed

    def distance(generator, *_, **__):
        # falls until about step 5, and rises again
        weights = np.concatenate([weight.ravel() for weight in generator.get_weights()])
        distance = float(abs(np.abs(weights - begin).mean() - 0.06))
        return {"frechet_distance": distance, "precision": 0.5, "coverage": 0.5, "recall": 0.5}

    toy = toy_models()
    begin = np.concatenate([weight.ravel() for weight in toy[0].get_weights()])
    monkeypatch.setattr(evaluation, "reference_for", lambda *_: Namespace(labels=[]))
    monkeypatch.setattr(evaluation, "evaluate", distance)
    params = {"evaluate_interval": 1, "keep_interval": 5, "save_interval": 4}
    toy_run(tmp_path / "whole", **params)
    expected = capsys.readouterr().out.splitlines()[-1]
    best = Generator.load(tmp_path / "whole" / "toy_best.h5")
    with open(tmp_path / "whole" / "toy" / "history.csv") as file:
        found = {int(row["step"]): float(row["frechet_distance"]) for row in csv.DictReader(file)}
    step = min(found, key=found.get)
    assert 1 < step < 10, found
    assert f"of step {step}, " in expected
    assert distance(best.model)["frechet_distance"] == pytest.approx(found[step])
    kept = sorted(path.name for path in (tmp_path / "whole" / "toy" / "generators").iterdir())
    assert kept == ["00005.h5", "00010.h5"]

    with pytest.raises(Killed):
        toy_run(tmp_path / "killed", meddle=kill, **params)
    toy_run(tmp_path / "killed", resume=True, **params)
    assert capsys.readouterr().out.splitlines()[-1] == expected.replace("whole", "killed")
    for name in "toy.h5", "toy_best.h5":
        one, other = (Generator.load(tmp_path / run / name) for run in ("whole", "killed"))
        for weight, same in zip(one.model.get_weights(), other.model.get_weights(), strict=True):
            np.testing.assert_array_equal(weight, same)
    toy_run(tmp_path / "killed", overwrite=True, train_steps=1)
    assert not (tmp_path / "killed" / "toy_best.h5").exists()
