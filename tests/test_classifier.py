"""The classifier that the scores are read from."""

from lib import classifier, data

import numpy as np
import pytest
from lib.errors import UserError
from tensorflow import keras


def test_shipped_classifier_knows_the_test_images():
    assert classifier.accuracy(classifier.load()) >= 0.994


def test_features_and_probabilities():
    images, labels = data.load_test()
    features, probabilities = classifier.load().predict(images[:1000] / np.float32(255), verbose=0)
    assert features.shape == (1000, 128)
    assert features.min() < 0
    # no feature is dead, or the scores would see less than they could
    assert features.std(axis=0).min() > 0.01
    assert probabilities.shape == (1000, 10)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert (probabilities.argmax(axis=1) == labels[:1000].argmax(axis=1)).mean() > 0.98


def test_weights_are_small():
    assert classifier.WEIGHTS.stat().st_size < 1_000_000


def test_training_learns_and_repeats_itself(mnist):
    part = [array[:2048] for array in mnist]
    first, again = (classifier.train(*part, epochs=3) for _ in range(2))
    assert classifier.accuracy(first) > 0.5
    for one, other in zip(first.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("content", [None, b"", b"no weights"])
def test_unreadable_weights_are_refused(content, tmp_path, monkeypatch):
    path = tmp_path / "cut.weights.h5"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setattr(classifier, "WEIGHTS", path)
    with pytest.raises(UserError, match="cut.weights.h5"):
        classifier.load.__wrapped__()


def test_weights_are_written_and_read_whole(tmp_path, monkeypatch):
    model = classifier.build()
    monkeypatch.setattr(classifier, "WEIGHTS", tmp_path / "new.weights.h5")
    monkeypatch.setattr(classifier, "train", lambda *_: model)
    monkeypatch.setattr("sys.argv", ["classifier"])
    classifier.main()
    for one, other in zip(
        model.get_weights(), classifier.load.__wrapped__().get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    assert [file.name for file in tmp_path.iterdir()] == ["new.weights.h5"]


def test_precision_of_the_training_does_not_touch_the_classifier():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = classifier.build()
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
