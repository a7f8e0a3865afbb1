"""How good a generator of MNIST digits is, in numbers.

All scores are read from the features and probabilities of the shipped MNIST classifier
(lib/classifier.py), in float64, against MNIST's test images. They compare generators with each
other and with real training images, which are the best that can be had; they can't be compared
with scores taken from an Inception network.
"""

import functools

from lib import classifier, data
from lib.files import UserError

import numpy as np
import tensorflow as tf
from tensorflow import keras

DIGITS = 10
BATCH_SIZE = 250


def frechet_distance(real: np.ndarray, fake: np.ndarray) -> float:
    """The Fréchet distance between Gaussians fitted to two sets of features.

    |m_r - m_f|^2 + tr(C_r + C_f - 2 (C_r C_f)^1/2), the formula of the FID (Heusel et al. 2017,
    arXiv:1706.08500, eq. 6). Taken from the MNIST classifier's features, it can't be compared
    with the FID, which Inception's features give.

    Args:
        real, fake: (N, width) and (M, width).

    Returns:
        The squared distance, from 0; the less the better. NaN for features not finite.
    """
    if not (np.isfinite(real).all() and np.isfinite(fake).all()):
        return float("nan")
    covariance = np.cov(real, rowvar=False), np.cov(fake, rowvar=False)
    # C_r C_f has the eigenvalues of C_r^1/2 C_f C_r^1/2, which is symmetric.
    values, vectors = np.linalg.eigh(covariance[0])
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    trace_root = np.sqrt(np.linalg.eigvalsh(root @ covariance[1] @ root).clip(0)).sum()
    means = np.square(real.mean(axis=0) - fake.mean(axis=0)).sum()
    return float(max(0, means + np.trace(covariance[0] + covariance[1]) - 2 * trace_root))


def mnist_score(probabilities: np.ndarray) -> float:
    """exp(E KL(p(y|x) || p(y))), the Inception Score with the MNIST classifier in its place.

    Salimans et al. 2016, arXiv:1606.03498, section 4; over all images at once.

    Args:
        probabilities: (N, 10), each row a distribution.

    Returns:
        From 1 to 10; the more the better: each image is clearly one digit, and all occur.
    """

    def entropy(p):
        return -(p * np.log(np.maximum(p, np.finfo(p.dtype).tiny))).sum(axis=-1)

    return float(np.exp(entropy(probabilities.mean(axis=0)) - entropy(probabilities).mean()))


def precision_recall(real: np.ndarray, fake: np.ndarray, k: int = 3) -> tuple[float, float]:
    """Precision and recall of a generator: its fidelity, and the variety that it covers.

    Precision is the share of fakes in the manifold of the real images, recall the share of real
    images in the fakes' manifold; a manifold is the union of the balls around the points of a
    set, each as large as the distance to its k-th nearest neighbour in the set. Kynkäänniemi et
    al. 2019, arXiv:1904.06991, eq. 1 and 2. The ball of one odd real image may hold every fake
    of a generator that draws only one: read precision beside recall.

    Args:
        real, fake: features (N, width) and (M, width), more than k each.

    Returns:
        Precision and recall, from 0 to 1; the more the better.
    """
    return _covered(fake, real, k), _covered(real, fake, k)


def _covered(points, centers, k) -> float:
    """The share of points in the manifold of `centers`; those that are not finite never are."""
    # The nearest neighbour of each is itself, at index 0.
    radii = [np.partition(block, k)[:, k] for block in _squared_distances(centers, centers)]
    radii = np.concatenate(radii)
    inside = [(block <= radii).any(axis=1) for block in _squared_distances(points, centers)]
    return float(np.concatenate(inside).mean())


def _squared_distances(a, b, rows=500):
    """Squared Euclidean distances (N, M), in blocks of rows that spare the memory."""
    for start in range(0, len(a), rows):
        block = a[start : start + rows]
        squares = np.square(block).sum(axis=1)[:, np.newaxis] + np.square(b).sum(axis=1)
        yield np.maximum(squares - 2 * block @ b.T, 0)


def digit_shares(probabilities: np.ndarray) -> np.ndarray:
    """The share of images that the classifier takes for each digit: float64 (10,).

    Args:
        probabilities: (N, 10). Those that are not finite count for no digit.
    """
    return (_digits(probabilities)[:, np.newaxis] == np.arange(DIGITS)).mean(axis=0)


def total_variation(p: np.ndarray, q: np.ndarray) -> float:
    """Total variation distance of two distributions, 1 - sum min(p, q): from 0 (equal) to 1."""
    return float(1 - np.minimum(p, q).sum())


def digit_accuracy(probabilities: np.ndarray, requested: np.ndarray) -> np.ndarray:
    """How often the classifier sees the digit that was requested, after Odena et al. 2017,
    arXiv:1610.09585, section 4.1.

    Args:
        probabilities: (N, 10).
        requested: digits 0 to 9, (N,), each of them at least once.

    Returns:
        The share of right ones among the images of each digit, float64 (10,).
    """
    right = _digits(probabilities) == requested
    return np.array([right[requested == digit].mean() for digit in range(DIGITS)])


def _digits(probabilities):
    finite = np.isfinite(probabilities).all(axis=1)
    return np.where(finite, probabilities.argmax(axis=1), -1)


def diversity(features: np.ndarray, digits: np.ndarray) -> np.ndarray:
    """The mean Euclidean distance between two different images of one digit.

    Takes the features for what Odena et al. 2017, arXiv:1610.09585, section 4.2, measure by
    MS-SSIM between the images of a class: 0 says that one image is drawn again and again.

    Args:
        features: (N, width).
        digits: 0 to 9, (N,), each of them at least twice.

    Returns:
        The mean of each digit, float64 (10,).
    """

    def mean_distance(x):
        total = sum(np.sqrt(block).sum() for block in _squared_distances(x, x))
        return total / (len(x) * (len(x) - 1))

    return np.array([mean_distance(features[digits == digit]) for digit in range(DIGITS)])


def evaluate(generator: keras.Model, seed: int, count: int = 10_000) -> dict:
    """Score a generator's images.

    Args:
        generator: of noise, or of noise and one-hot labels; then all digits are equally often
            requested, and scored as such too.
        seed: of the noise.
        count: how many images to draw, 1,000 to 10,000. Only scores of equal counts can be
            compared: they are scored against as many test images.

    Returns:
        Python numbers and lists of ten, for the digits from 0 to 9: `count`,
        `frechet_distance`, `mnist_score`, `precision`, `recall`, `digit_shares`, their
        `total_variation` distance from those of the test images; where digits are requested,
        `accuracy` and `digit_accuracy`, `diversity` and `digit_diversity`, a share of that of
        the test images. Numbers are NaN where they are undefined for images that are not
        finite.

    Raises:
        UserError: the generator doesn't draw MNIST's digits, or a count out of range.
    """
    _check_count(count)
    check(generator)
    latent_size, *num_labels = [tensor.shape[1] for tensor in generator.inputs]
    rng = tf.random.Generator.from_seed(seed)
    inputs = data.sample_noise(rng, count, latent_size)
    requested = None
    if num_labels:
        requested = np.arange(count) % DIGITS
        inputs = [inputs, tf.one_hot(requested, DIGITS)]
    images = generator.predict(inputs, batch_size=BATCH_SIZE, verbose=0)
    return _evaluate(images, requested)


def check(generator: keras.Model) -> None:
    """Raise a UserError where the generator can't be scored.

    It doesn't draw MNIST's digits, or the classifier's weights are damaged.
    """
    classifier.load()
    _, *num_labels = [tensor.shape[1] for tensor in generator.inputs]
    if generator.output_shape[1:] != (28, 28, 1) or num_labels not in ([], [DIGITS]):
        raise UserError("scores are for MNIST: 28 x 28 images, and 10 labels where there are any")


def totals(scores: dict) -> dict[str, float]:
    """Of what `evaluate` returns, the single numbers that say how good the generator is."""
    return {key: scores[key] for key, _ in COLUMNS.values() if key in scores}


def evaluate_real(seed: int, count: int = 10_000) -> dict:
    """The scores of real training images, the best that can be had, as `evaluate` gives them.

    Args:
        seed: of which images are drawn, each at most once; their labels count as requested.
        count: as in `evaluate`.

    Raises:
        UserError: a count out of range.
    """
    _check_count(count)
    x_train, y_train = data.load()
    rows = np.random.default_rng(seed).choice(len(x_train), count, replace=False)
    return _evaluate(x_train[rows] / np.float32(255), y_train[rows].argmax(axis=1))


def _check_count(count):
    if not 1000 <= count <= 10_000:
        raise UserError(f"{count} images can't be scored: take from 1000 to 10000")


def _evaluate(images, requested) -> dict:
    count = len(images)
    features, probabilities = _classify(images)
    # Evenly spaced, as the first 5,000 test images are cleaner than the rest.
    rows = np.arange(count) * 10_000 // count
    real, digits = (array[rows] for array in _test_set())

    precision, recall = precision_recall(real, features)
    shares = digit_shares(probabilities)
    scores = {
        "count": count,
        "frechet_distance": frechet_distance(real, features),
        "mnist_score": mnist_score(probabilities),
        "precision": precision,
        "recall": recall,
        "digit_shares": shares.tolist(),
        "total_variation": total_variation(shares, np.bincount(digits) / count),
    }
    if requested is not None:
        accuracy = digit_accuracy(probabilities, requested)
        relative = diversity(features, requested) / diversity(real, digits)
        scores["accuracy"] = float(np.average(accuracy, weights=np.bincount(requested)))
        scores["digit_accuracy"] = accuracy.tolist()
        scores["diversity"] = float(relative.mean())
        scores["digit_diversity"] = relative.tolist()
    return scores


@functools.cache
def _test_set():
    """Features (10000, 128) and digits (10000,) of the test images."""
    x_test, y_test = data.load_test()
    return _classify(x_test / np.float32(255))[0], y_test.argmax(axis=1)


def _classify(images):
    """Features and probabilities, float64; NaN for images that are not finite."""
    outputs = classifier.load().predict(images, batch_size=BATCH_SIZE, verbose=0)
    # Pooling makes numbers of NaN.
    finite = np.isfinite(images).all(axis=(1, 2, 3))[:, np.newaxis]
    return [np.where(finite, output, np.nan).astype(np.float64) for output in outputs]


COLUMNS = {
    "FD": ("frechet_distance", ".2f"),
    "score": ("mnist_score", ".2f"),
    "precision": ("precision", ".3f"),
    "recall": ("recall", ".3f"),
    "TV": ("total_variation", ".3f"),
    "accuracy": ("accuracy", ".3f"),
    "diversity": ("diversity", ".3f"),
}
DETAILS = {
    "share of images": "digit_shares",
    "accuracy": "digit_accuracy",
    "diversity": "digit_diversity",
}
LEGEND = """
FD: Fréchet distance in an MNIST classifier's features, not the FID; 0 is best
score: MNIST score, from 1 to 10, which is best
precision, recall: share of fakes like real images, of real images like fakes
TV: total variation distance of the digits' shares from the data's; 0 is best
accuracy: how often the digit is the requested one
diversity: distance between images of a digit, as a share of that in the data"""


def table(rows: dict[str, dict]) -> str:
    """Scores side by side in plain text, 80 columns wide for names of up to 16 letters.

    Args:
        rows: what `evaluate` and `evaluate_real` return, by the name of what was scored.
    """
    counts = "/".join(sorted({str(scores["count"]) for scores in rows.values()}))
    first = max(16, *map(len, rows))
    widths = [max(8, len(heading) + 2) for heading in COLUMNS]

    def line(name, cells, widths):
        return f"{name:{first}}" + "".join(map(str.rjust, cells, widths))

    lines = [line(f"{counts} images", COLUMNS, widths)]
    for name, scores in rows.items():
        cells = [
            format(scores[key], style) if key in scores else "-" for key, style in COLUMNS.values()
        ]
        lines.append(line(name, cells, widths))
    for heading, key in DETAILS.items():
        digits = [line(heading, map(str, range(DIGITS)), [6] * DIGITS)]
        for name, scores in rows.items():
            if key in scores:
                digits.append(line(name, [f"{value:.3f}" for value in scores[key]], [6] * DIGITS))
        if len(digits) > 1:
            lines += ["", *digits]
    return "\n".join(lines) + "\n" + LEGEND
