"""The classifiers of the scores: the one that they are read from, and the one that fakes teach."""

import random
from functools import partial

from lib import data
from lib.plumbing.errors import UserError
from lib.plumbing.tf import keras, tf
from lib.scoring import classification_accuracy, classifier, evaluation

import numpy as np
import pytest

EPOCHS = 25  # of four steps


@pytest.fixture(scope="module")
def halves():
    """Return images of 4 x 4 and one-hot labels: whether the upper half is bright, or the lower."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 512)
    images = rng.random((512, 4, 4, 1), np.float32) / 2
    images[labels == 0, :2] += 0.5
    images[labels == 1, 2:] += 0.5
    return images, np.eye(2, dtype=np.float32)[labels]


@pytest.fixture(scope="module")
def trained(halves):
    return classifier.train(*halves, EPOCHS)


def test_shipped_classifier_knows_the_test_images():
    reference = evaluation.mnist()
    assert reference.accuracy >= 0.994
    assert reference.features.shape == (10_000, 128)
    assert reference.features.min() < 0
    # no feature is dead, or the scores would see less than they could
    assert reference.features.std(axis=0).min() > 0.01


@pytest.mark.parametrize("content", [None, b"no weights"])
def test_unreadable_weights_are_refused(content, tmp_path, monkeypatch):
    path = tmp_path / "cut.weights.h5"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setattr(classifier, "WEIGHTS", path)
    with pytest.raises(UserError, match="cut.weights.h5"):
        classifier.load()


def test_a_damaged_classifier_is_trained_anew_and_found_again(
    trained, halves, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(classifier, "train", lambda images, labels: trained)
    path = tmp_path / "classifier.npz"
    path.write_bytes(b"no weights")
    missing = tmp_path / "file" / "classifier.npz"
    (tmp_path / "file").write_text("where no folder can be made")
    for found_again in range(2):
        found, place = classifier.find_or_train(data.dataset(*halves), [missing, path])
        assert place == path
        assert (found is not trained) == found_again
        for one, other in zip(found.get_weights(), trained.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)
    assert capsys.readouterr().out.count("training a classifier") == 1


def test_training_learns(trained, halves):
    images, labels = halves
    _, probabilities = trained.predict(images, verbose=0)
    assert (probabilities.argmax(axis=1) == labels.argmax(axis=1)).mean() > 0.9


def test_trainings_repeat_themselves_and_disturb_nothing(trained, halves, monkeypatch):
    """The random streams and the precision of a run change nothing here, nor are they changed."""
    monkeypatch.setattr(classification_accuracy, "BATCHES", 3)
    images, labels = halves
    taught = partial(classification_accuracy.train, images, labels.argmax(axis=1))

    def draw():
        layer = keras.layers.Dense(3)  # seeded from Python's stream
        layer.build((None, 2))
        return [random.random(), np.random.random(), tf.random.uniform(()), *layer.get_weights()]

    keras.utils.set_random_seed(5)
    expected = [*draw(), *trained.get_weights(), *taught(seed=1).get_weights()]
    keras.utils.set_random_seed(5)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        weights = [*classifier.train(*halves, EPOCHS).get_weights(), *taught(seed=1).get_weights()]
        other, built = taught(seed=2), classifier.build()
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")
    for one, same in zip(expected, [*draw(), *weights], strict=True):
        np.testing.assert_array_equal(one, same)
    assert not np.array_equal(other.get_weights()[-2], weights[-2])
    assert {layer.compute_dtype for layer in built.layers} == {"float32"}


def test_right_labels_teach_and_wrong_labels_mislead(halves, monkeypatch):
    monkeypatch.setattr(classification_accuracy, "BATCHES", 40)
    images, right = halves[0], halves[1].argmax(axis=1)
    score = classification_accuracy.classification_accuracy_score
    assert score(images, right, 1, images, right) > 0.95
    assert score(images, 1 - right, 1, images, right) < 0.05


@pytest.mark.parametrize("side, channels", [(4, 1), (20, 3), (256, 3)])
def test_images_of_any_side_and_colour_are_classified(side, channels, monkeypatch):
    images = np.random.default_rng(1).random((2, side, side, channels), np.float32)
    features, probabilities = classifier.build(images.shape[1:], num_labels=7)(images)
    assert features.shape == (2, 128)
    assert probabilities.shape == (2, 7)
    monkeypatch.setattr(classification_accuracy, "BATCHES", 1)
    learned = classification_accuracy.train(images, np.array([0, 6]), seed=1)
    assert learned(images).shape == (2, 7)
