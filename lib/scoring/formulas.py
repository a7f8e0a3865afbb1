"""Scores of generated images: formulas on the features and probabilities that a classifier gives.

Features of N images are (N, width); probabilities (N, n), of n classes; labels whole numbers from
0, (N,). Arrays are float64. Rows of probabilities that are not finite are of no class.
lib/scoring/evaluation.py applies the formulas.
"""

import numpy as np


def frechet_distance(real: np.ndarray, fake: np.ndarray) -> float:
    """Compute the Fréchet distance between Gaussians fitted to two sets of features.

    |m_r - m_f|^2 + tr(C_r + C_f - 2 (C_r C_f)^1/2), the formula of the FID (Heusel et al. 2017,
    arXiv:1706.08500, eq. 6). Taken from another classifier's features, it can't be compared
    with the FID, which Inception's features give.

    Returns:
        From 0; the less the better. NaN for features not finite.
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


def classifier_score(probabilities: np.ndarray) -> float:
    """Compute exp(E KL(p(y|x) || p(y))), the Inception Score with another classifier in its place.

    Salimans et al. 2016, arXiv:1606.03498, section 4; over all images at once.

    Returns:
        From 1 to n; the more the better: each image is clearly of one class, and all occur.
    """

    def entropy(p):
        return -(p * np.log(np.maximum(p, np.finfo(p.dtype).tiny))).sum(axis=-1)

    return float(np.exp(entropy(probabilities.mean(axis=0)) - entropy(probabilities).mean()))


def precision(real: np.ndarray, fake: np.ndarray, k: int = 3) -> float:
    """Compute the share of fakes in the manifold of the real images: a generator's fidelity.

    A manifold is the union of the balls around the points of a set, each as large as the distance
    to its k-th nearest neighbour in the set. Kynkäänniemi et al. 2019, arXiv:1904.06991, eq. 1
    and 2. Each set has more than k.

    Returns:
        From 0 to 1; the more the better.
    """
    radii = _radii(real, k)
    inside = [(block <= radii).any(axis=1) for block in squared_distances(fake, real)]
    return float(np.concatenate(inside).mean())


def recall(real: np.ndarray, fake: np.ndarray, k: int = 3) -> float:
    """Compute the share of real images in the manifold of the fakes: the variety that they span.

    It is `precision` with the sets exchanged. Fakes that lie far off have large balls, so it may
    rise where fakes get worse.
    """
    return precision(fake, real, k)


def coverage(real: np.ndarray, fake: np.ndarray, k: int = 5) -> float:
    """Compute the share of real images beside which a fake lies: the variety that fakes reach.

    Beside means no farther than the image's k-th nearest neighbour among the real ones, so that
    fakes can't widen what they cover. Naeem et al. 2020, arXiv:2002.09797, section 3.2.

    Returns:
        From 0 to 1; the more the better. Between sets of one distribution and of equal size about
        1 - 2^-k.
    """
    # not min: a fake that is not finite covers nothing, and hides no other
    nearest = [np.fmin.reduce(block, axis=1) for block in squared_distances(real, fake)]
    return float((np.concatenate(nearest) <= _radii(real, k)).mean())


def unit_length(features: np.ndarray) -> np.ndarray:
    """Scale each row of features to a Euclidean length of 1."""
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def _radii(points, k):
    """Return squared distances (N,) to the k-th nearest of the other points."""
    # The nearest neighbour of each is itself, at index 0.
    radii = [np.partition(block, k)[:, k] for block in squared_distances(points, points)]
    return np.concatenate(radii)


def squared_distances(a, b, rows=100):
    """Yield squared Euclidean distances (N, M), in blocks that fit the processor's caches."""
    for start in range(0, len(a), rows):
        block = a[start : start + rows]
        squares = np.square(block).sum(axis=1)[:, np.newaxis] + np.square(b).sum(axis=1)
        yield np.maximum(squares - 2 * block @ b.T, 0)


def class_shares(probabilities: np.ndarray) -> np.ndarray:
    """Compute the share of images that the classifier takes for each class: (n,)."""
    return (_seen(probabilities)[:, np.newaxis] == np.arange(probabilities.shape[1])).mean(axis=0)


def total_variation(p: np.ndarray, q: np.ndarray) -> float:
    """Compute the total variation distance of two distributions, 1 - sum min(p, q): from 0 to 1."""
    return float(1 - np.minimum(p, q).sum())


def accuracy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Compute how often a classifier sees the class that it should: from 0 to 1."""
    return float((_seen(probabilities) == labels).mean())


def class_accuracy(probabilities: np.ndarray, requested: np.ndarray) -> np.ndarray:
    """Compute for each class how often the classifier sees it where it was requested: (n,).

    Odena et al. 2017, arXiv:1610.09585, section 4.1. Each class is requested at least once.
    """
    right = _seen(probabilities) == requested
    return np.array([right[requested == label].mean() for label in range(probabilities.shape[1])])


def _seen(probabilities):
    """Return the most probable labels (N,); -1 for rows that are not finite."""
    finite = np.isfinite(probabilities).all(axis=1)
    return np.where(finite, probabilities.argmax(axis=1), -1)


def diversity(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Compute the mean Euclidean distance between two images' features, for each class: (n,).

    Odena et al. 2017, arXiv:1610.09585, section 4.2, measure the same by MS-SSIM between the
    images of a class. 0 says that one image is drawn again and again. Each class has at least two.
    """

    def mean_distance(x):
        total = sum(np.sqrt(block).sum() for block in squared_distances(x, x))
        return total / (len(x) * (len(x) - 1))

    return np.array([mean_distance(features[labels == label]) for label in np.unique(labels)])
