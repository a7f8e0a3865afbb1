"""The classification accuracy score: what a classifier learns from a generator's digits."""

import random

from lib.plumbing.tf import keras, tf
from lib.scoring import classification_accuracy

import numpy as np
import pytest


@pytest.fixture(scope="module")
def digits(mnist):
    """1,000 real digits, and which they are."""
    return mnist.x_train[:1000] / np.float32(255), mnist.y_train[:1000].argmax(axis=1)


def test_real_digits_teach_and_wrong_labels_mislead(digits, mnist):
    images, right = digits
    real, real_labels = mnist.x_train[1000:3000] / np.float32(255), mnist.y_train[1000:3000]
    real = real, real_labels.argmax(axis=1)
    score = classification_accuracy.classification_accuracy_score
    assert score(images, right, 1, *real) > 0.85
    assert score(images, (right + 1) % 10, 1, *real) < 0.05


def test_training_repeats_itself_and_disturbs_nothing(digits, monkeypatch):
    """The random streams and the precision of a run change nothing here, nor are they changed."""
    monkeypatch.setattr(classification_accuracy, "BATCHES", 3)

    def draw():
        layer = keras.layers.Dense(3)  # seeded from Python's stream
        layer.build((None, 2))
        return [random.random(), np.random.random(), tf.random.uniform(()), *layer.get_weights()]

    keras.utils.set_random_seed(5)
    expected = draw()
    plain = classification_accuracy.train(*digits, seed=1).get_weights()
    other = classification_accuracy.train(*digits, seed=2).get_weights()
    keras.utils.set_random_seed(5)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        again = classification_accuracy.train(*digits, seed=1).get_weights()
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")
    for one, same in zip([*expected, *plain], [*draw(), *again], strict=True):
        np.testing.assert_array_equal(one, same)
    assert not np.array_equal(plain[0], other[0])
