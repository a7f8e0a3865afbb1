"""How good a generator of MNIST digits is, in numbers.

All scores are read from the features and probabilities of the shipped MNIST classifier
(classifier.py), against MNIST's test images. They compare generators with each other and with real
training images, which are the best that can be had; they can't be compared with scores taken from
an Inception network.
"""

import functools

from lib import data
from lib.generator import Generator
from lib.plumbing.errors import UserError
from lib.plumbing.tf import keras
from lib.scoring import classifier, formulas
from lib.scoring.classification_accuracy import classification_accuracy_score

import numpy as np

BATCH_SIZE = 250


def evaluate(
    generator: Generator | keras.Model, seed: int, count: int = 10_000, quick: bool = False
) -> dict:
    """Score a generator's images.

    Args:
        generator: of noise; of noise and one-hot labels, then asked for the test images' digits and
            scored on them; or InfoGAN's, then of random categories and codes.
        seed: of the inputs, and of the classification accuracy score's classifier.
        count: how many images to draw, 1,000 to 10,000. They are scored against as many test
            images, so only scores of equal counts can be compared.
        quick: leave out the classification accuracy score, which takes longer than all others.

    Returns:
        Python numbers, and lists of ten for the digits from 0 to 9: `count`, `frechet_distance`,
        `mnist_score`, `precision`, `coverage`, `recall`, `digit_shares`, their `total_variation`
        distance from those of the test images. Where digits are requested, also `accuracy`,
        `digit_accuracy`, `diversity` and `digit_diversity` as shares of the test images', and
        `classification_accuracy_score`. Where images are not finite, a number may be NaN.

    Raises:
        UserError: the generator doesn't draw MNIST's digits, or the count is out of range.
    """
    check_count(count)
    require_mnist(generator)
    generator, requested = Generator.of(generator), None
    if generator.num_labels and not generator.num_codes:  # categories are no digits
        _, requested = reference(count)
    inputs = generator.inputs(count, seed, requested)
    images = generator.model.predict(
        inputs if inputs[1:] else inputs[0], batch_size=BATCH_SIZE, verbose=0
    )
    return score(generator.pixels(images), requested, None if quick else seed)


def evaluate_real(seed: int, count: int = 10_000) -> dict:
    """Score real training images, the best that can be had, as `evaluate` scores a generator's.

    Args:
        seed: of the choice of images, each at most once, and of the classification accuracy
            score's classifier. Their labels count as requested.
        count: as in `evaluate`.

    Raises:
        UserError: the count is out of range.
    """
    check_count(count)
    x_train, y_train = data.load()[:2]
    rows = np.random.default_rng(seed).choice(len(x_train), count, replace=False)
    return score(x_train[rows] / np.float32(255), y_train[rows].argmax(axis=1), seed)


def check_count(count: int) -> None:
    """Raise a UserError where there are no scores of so many images."""
    if not 1000 <= count <= 10_000:
        raise UserError(f"{count} images can't be scored: take from 1000 to 10000")


def require_mnist(generator: Generator | keras.Model) -> None:
    """Raise a UserError unless sizes are MNIST's and the classifier's file is intact."""
    classifier.load()
    generator = Generator.of(generator)
    known = generator.num_codes or generator.num_labels in (0, formulas.DIGITS)
    if generator.model.output_shape[1:] != (28, 28, 1) or not known:
        raise UserError("scores are for MNIST: 28 x 28 images, and 10 labels where there are any")


def score(images: np.ndarray, requested: np.ndarray | None, seed: int | None) -> dict:
    """Score images, float32 (N, 28, 28, 1) in [0, 1].

    Args:
        images: 1,000 to 10,000.
        requested: the digit that each is to be, (N,); None where none was asked for.
        seed: of the classification accuracy score's classifier; None leaves that score out.

    Returns:
        As `evaluate`.
    """
    features, probabilities = classify(images)
    real, digits = reference(len(images))
    shares = formulas.digit_shares(probabilities)
    scores = {
        "count": len(images),
        "frechet_distance": formulas.frechet_distance(real, features),
        "mnist_score": formulas.mnist_score(probabilities),
        **neighbour_scores(real, features),
        "digit_shares": shares.tolist(),
        "total_variation": formulas.total_variation(shares, np.bincount(digits) / len(digits)),
    }
    if requested is not None:
        diversity = formulas.diversity(features, requested) / formulas.diversity(real, digits)
        scores |= {
            "accuracy": formulas.accuracy(probabilities, requested),
            "digit_accuracy": formulas.digit_accuracy(probabilities, requested).tolist(),
            "diversity": float(diversity.mean()),
            "digit_diversity": diversity.tolist(),
        }
        if seed is not None:
            accuracy = classification_accuracy_score(images, requested, seed)
            scores["classification_accuracy_score"] = accuracy
    return scores


def neighbour_scores(real: np.ndarray, fake: np.ndarray) -> dict[str, float]:
    """Compute `precision`, `coverage` and `recall` of features (N, 128) and (M, 128).

    Precision takes them scaled to length 1. Grey, white and blurred images have short features,
    amid those of the digits, where a few ambiguous digits have balls wide enough to hold them all.
    """
    return {
        "precision": formulas.precision(formulas.unit_length(real), formulas.unit_length(fake)),
        "coverage": formulas.coverage(real, fake),
        "recall": formulas.recall(real, fake),
    }


def reference(count: int) -> list[np.ndarray]:
    """Return features (count, 128) and digits (count,) of the test images to compare with."""
    # Evenly spaced: the first 5,000 are unlike the last, and harder, with 28 of the classifier's 41
    # errors. Against them real images have a precision of 0.82, against the others 0.68.
    rows = np.arange(count) * 10_000 // count
    return [array[rows] for array in test_set()]


@functools.cache
def test_set() -> tuple[np.ndarray, np.ndarray]:
    """Return features (10000, 128) and digits (10000,) of MNIST's test images."""
    x_test, y_test = data.load_test()
    return classify(x_test / np.float32(255))[0], y_test.argmax(axis=1)


def classify(images: np.ndarray) -> list[np.ndarray]:
    """Have the classifier look at images, float32 (N, 28, 28, 1) in [0, 1].

    Returns:
        Features (N, 128) and probabilities (N, 10), float64; NaN for images that are not finite.
    """
    outputs = classifier.load().predict(images, batch_size=BATCH_SIZE, verbose=0)
    # Pooling makes numbers of NaN.
    finite = np.isfinite(images).all(axis=(1, 2, 3))[:, np.newaxis]
    return [np.where(finite, output, np.nan).astype(np.float64) for output in outputs]
