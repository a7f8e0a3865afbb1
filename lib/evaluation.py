"""How good a generator of MNIST digits is, in numbers.

All scores are read from the features and probabilities of the shipped MNIST classifier
(lib/classifier.py), against MNIST's test images. They compare generators with each other and
with real training images, which are the best that can be had; they can't be compared with
scores taken from an Inception network.
"""

import functools

from lib import classifier, data, gan_train, scores
from lib.errors import UserError
from lib.tf import keras, tf

import numpy as np

BATCH_SIZE = 250


def evaluate(generator: keras.Model, seed: int, count: int = 10_000, quick: bool = False) -> dict:
    """Score a generator's images.

    Args:
        generator: of noise, or of noise and one-hot labels; then the digits of the test images
            are requested, and scored as such too.
        seed: of the noise, and of GAN-train's classifier.
        count: how many images to draw, 1,000 to 10,000. Only scores of equal counts can be
            compared: they are scored against as many test images.
        quick: leave out GAN-train, which takes longer than all others.

    Returns:
        Python numbers and lists of ten, for the digits from 0 to 9: `count`,
        `frechet_distance`, `mnist_score`, `precision`, `coverage`, `recall`, `digit_shares`,
        their `total_variation` distance from those of the test images; where digits are
        requested, `accuracy` and `digit_accuracy`, `gan_train`, `diversity` and
        `digit_diversity`, a share of that of the test images. Numbers are NaN where they are
        undefined for images that are not finite.

    Raises:
        UserError: the generator doesn't draw MNIST's digits, or a count out of range.
    """
    _check_count(count)
    require_mnist(generator)
    latent_size, *num_labels = [tensor.shape[1] for tensor in generator.inputs]
    rng = tf.random.Generator.from_seed(seed)
    inputs = data.sample_noise(rng, count, latent_size)
    requested = None
    if num_labels:
        _, requested = _reference(count)
        inputs = [inputs, tf.one_hot(requested, scores.DIGITS)]
    images = generator.predict(inputs, batch_size=BATCH_SIZE, verbose=0)
    return _evaluate(images, requested, None if quick else seed)


def require_mnist(generator: keras.Model) -> None:
    """Raise a UserError where the generator can't be scored.

    It doesn't draw MNIST's digits, or the classifier's weights are damaged.
    """
    classifier.load()
    _, *num_labels = [tensor.shape[1] for tensor in generator.inputs]
    if generator.output_shape[1:] != (28, 28, 1) or num_labels not in ([], [scores.DIGITS]):
        raise UserError("scores are for MNIST: 28 x 28 images, and 10 labels where there are any")


def scalars(result: dict) -> dict[str, float]:
    """Of what `evaluate` returns, the single numbers that say how good the generator is."""
    return {key: result[key] for key, _ in COLUMNS.values() if key in result}


def evaluate_real(seed: int, count: int = 10_000) -> dict:
    """The scores of real training images, the best that can be had, as `evaluate` gives them.

    Args:
        seed: of which images are drawn, each at most once, and of GAN-train's classifier. Their
            labels count as requested.
        count: as in `evaluate`.

    Raises:
        UserError: a count out of range.
    """
    _check_count(count)
    x_train, y_train = data.load()
    rows = np.random.default_rng(seed).choice(len(x_train), count, replace=False)
    return _evaluate(x_train[rows] / np.float32(255), y_train[rows].argmax(axis=1), seed)


def _check_count(count):
    if not 1000 <= count <= 10_000:
        raise UserError(f"{count} images can't be scored: take from 1000 to 10000")


def _evaluate(images, requested, gan_train_seed) -> dict:
    count = len(images)
    features, probabilities = classify(images)
    real, digits = _reference(count)
    shares = scores.digit_shares(probabilities)
    result = {
        "count": count,
        "frechet_distance": scores.frechet_distance(real, features),
        "mnist_score": scores.mnist_score(probabilities),
        **neighbour_scores(real, features),
        "digit_shares": shares.tolist(),
        "total_variation": scores.total_variation(shares, np.bincount(digits) / count),
    }
    if requested is not None:
        relative = scores.diversity(features, requested) / scores.diversity(real, digits)
        result["accuracy"] = scores.accuracy(probabilities, requested)
        result["digit_accuracy"] = scores.digit_accuracy(probabilities, requested).tolist()
        if gan_train_seed is not None:
            result["gan_train"] = gan_train.score(images, requested, gan_train_seed)
        result["diversity"] = float(relative.mean())
        result["digit_diversity"] = relative.tolist()
    return result


def neighbour_scores(real: np.ndarray, fake: np.ndarray) -> dict[str, float]:
    """`precision`, `coverage` and `recall`, each of features (N, 128) and (M, 128) as it takes them.

    Precision takes them scaled to length 1. Grey, white and blurred images have short features,
    amid those of the digits, where a few ambiguous digits have balls wide enough to hold them all.
    """
    return {
        "precision": scores.precision(scores.unit_length(real), scores.unit_length(fake)),
        "coverage": scores.coverage(real, fake),
        "recall": scores.recall(real, fake),
    }


def _reference(count):
    """Features (count, 128) and digits (count,) of the test images to compare with."""
    # Evenly spaced: the first 5,000 are unlike the last, and harder, with 28 of the classifier's 41
    # errors. Against them real images have a precision of 0.82, against the others 0.68.
    rows = np.arange(count) * 10_000 // count
    return [array[rows] for array in test_set()]


@functools.cache
def test_set():
    """Features (10000, 128) and digits (10000,) of MNIST's test images."""
    x_test, y_test = data.load_test()
    return classify(x_test / np.float32(255))[0], y_test.argmax(axis=1)


def classify(images: np.ndarray) -> list[np.ndarray]:
    """What the classifier makes of images, float32 (N, 28, 28, 1) in [0, 1].

    Returns:
        Features (N, 128) and probabilities (N, 10), float64; NaN for images that are not finite.
    """
    outputs = classifier.load().predict(images, batch_size=BATCH_SIZE, verbose=0)
    # Pooling makes numbers of NaN.
    finite = np.isfinite(images).all(axis=(1, 2, 3))[:, np.newaxis]
    return [np.where(finite, output, np.nan).astype(np.float64) for output in outputs]


# How each is printed, in the order in which they are to be read.
COLUMNS = {
    "FD": ("frechet_distance", ".2f"),
    "score": ("mnist_score", ".2f"),
    "precision": ("precision", ".3f"),
    "coverage": ("coverage", ".3f"),
    "recall": ("recall", ".3f"),
    "TV": ("total_variation", ".3f"),
    "accuracy": ("accuracy", ".3f"),
    "GAN-train": ("gan_train", ".3f"),
    "diversity": ("diversity", ".3f"),
}
# Standard deviations over ten draws of 10,000 real training images: python3 -m benchmarks.spread
SPREAD = {
    "frechet_distance": 0.024,
    "mnist_score": 0.0065,
    "precision": 0.0041,
    "coverage": 0.0027,
    "recall": 0.0030,
    "total_variation": 0.0025,
    "accuracy": 0.0006,
    "gan_train": 0.0012,
    "diversity": 0.0016,
}
DETAILS = {
    "share of images": "digit_shares",
    "accuracy": "digit_accuracy",
    "diversity": "digit_diversity",
}
LEGEND = """
FD: Fréchet distance in an MNIST classifier's features, not the FID; 0 is best
score: MNIST score, from 1 to 10, which is best
precision: share of fakes like real images; read it beside coverage: one good
  digit drawn again and again has 1
coverage: share of real images that a fake comes near to
recall: share of real images that lie among the fakes; bad fakes raise it
TV: total variation distance of the digits' shares from the data's; 0 is best
accuracy: how often the digit is the requested one
GAN-train: accuracy on real images of a classifier that learned from these only
diversity: distance between images of a digit, as a share of that in the data;
  read it beside accuracy: wrong digits are diverse
±: standard deviation from seed to seed, of real images; which test images they
  are compared with moves precision more"""


def table(rows: dict[str, dict]) -> str:
    """Scores side by side in plain text, 80 columns wide for two names of up to 16 letters.

    Args:
        rows: what `evaluate` and `evaluate_real` return, by the name of what was scored.
    """
    counts = "/".join(sorted({str(result["count"]) for result in rows.values()}))
    first = max(16, *map(len, rows))
    columns = [max(8, len(name)) + 2 for name in rows] + [10]

    def line(name, cells, widths):
        return f"{name:{first}}" + "".join(map(str.rjust, cells, widths))

    lines = [line(f"{counts} images", [*rows, "±"], columns)]
    for heading, (key, style) in COLUMNS.items():
        found = [format(row[key], style) if key in row else "-" for row in rows.values()]
        lines.append(line(heading, [*found, f"{SPREAD[key]:.4f}"], columns))
    for heading, key in DETAILS.items():
        digits = [line(heading, map(str, range(scores.DIGITS)), [6] * scores.DIGITS)]
        for name, result in rows.items():
            if key in result:
                digits.append(
                    line(name, [f"{value:.3f}" for value in result[key]], [6] * scores.DIGITS)
                )
        if len(digits) > 1:
            lines += ["", *digits]
    return "\n".join(lines) + "\n" + LEGEND
