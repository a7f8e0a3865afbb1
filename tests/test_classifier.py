"""The classifier that the scores are read from."""

import random

from lib import data
from lib.plumbing.errors import UserError
from lib.plumbing.tf import keras, tf
from lib.scoring import classification_accuracy, classifier, evaluation

import numpy as np
import pytest


def test_shipped_classifier_knows_the_test_images():
    images, labels = data.load_test()
    features, probabilities = evaluation.classify(images / np.float32(255))
    assert (probabilities.argmax(axis=1) == labels.argmax(axis=1)).mean() >= 0.994
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert features.shape == (10_000, 128)
    assert features.min() < 0
    # no feature is dead, or the scores would see less than they could
    assert features.std(axis=0).min() > 0.01


def test_training_learns_and_repeats_itself(mnist):
    images, labels = mnist.x_train[:1024], mnist.y_train[:1024]
    state, trained = random.getstate(), []
    for seed in 1, 2:  # a run's, which moves nothing here
        tf.random.set_seed(seed)
        trained.append(classifier.train(images, labels, epochs=3))
    assert random.getstate() == state
    first, again = trained
    _, probabilities = first.predict(images / np.float32(255), verbose=0)
    assert (probabilities.argmax(axis=1) == labels.argmax(axis=1)).mean() > 0.5
    for one, other in zip(first.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("content", [None, b"no weights"])
def test_unreadable_weights_are_refused(content, tmp_path, monkeypatch):
    path = tmp_path / "cut.weights.h5"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setattr(classifier, "WEIGHTS", path)
    with pytest.raises(UserError, match="cut.weights.h5"):
        classifier.load()


def test_precision_of_the_training_does_not_touch_the_classifier():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = classifier.build()
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}


@pytest.mark.parametrize("side, channels", [(4, 1), (8, 3), (16, 1), (20, 3), (64, 1), (256, 3)])
def test_images_of_any_side_and_colour_are_classified(side, channels, monkeypatch):
    images = np.random.default_rng(1).random((2, side, side, channels), np.float32)
    features, probabilities = classifier.build(images.shape[1:], num_labels=7)(images)
    assert features.shape == (2, 128)
    assert probabilities.shape == (2, 7)
    monkeypatch.setattr(classification_accuracy, "BATCHES", 1)
    learned = classification_accuracy.train(images, np.array([0, 6]), seed=1)
    assert learned(images).shape == (2, 7)
