"""How good a generator is, in numbers.

All scores are read from the features and probabilities of a classifier of the data (classifier.py),
against real images that it was not trained on: MNIST's test images, or a sixth of other data. They
compare generators with each other and with real training images, which are the best that can be
had; they can't be compared with scores of other data, or taken from an Inception network.
"""

import functools
import re
from argparse import Namespace
from pathlib import Path

from lib import data
from lib.generator import Generator
from lib.pictures import scaled
from lib.plumbing.errors import UserError
from lib.plumbing.tf import keras
from lib.scoring import classifier, formulas
from lib.scoring.classification_accuracy import classification_accuracy_score

import numpy as np

BATCH_SIZE = 250
FEWEST, MOST, FEWEST_OF_CLASS = 1000, 10_000, 20  # images to compare with


class Reference:
    """Real images that generated ones are compared with, and the classifier that looks at both.

    Attributes:
        train: the Dataset that the classifier was trained on.
        images, labels: others, to compare with, as in a Dataset; whole numbers (N,).
        classifier: as `classifier.build` returns it.
        weights: the path of its weights; None where no place could be written.
        features: of `images`, float64 (N, 128).
        accuracy: the share of `images` that the classifier knows.
    """

    def __init__(self, train: data.Dataset, images, labels, model, weights):
        self.train, self.images, self.labels = train, images, labels
        self.classifier, self.weights = model, weights
        self.features, probabilities = classify(scaled(images), model)
        self.accuracy = formulas.accuracy(probabilities, labels)

    def __str__(self):
        told = (
            f"{len(self.labels):,} images of {self.train.name}, of which the classifier in "
            f"{self.weights or 'memory'} knows {self.accuracy:.1%}"
        )
        return told + (": figures mean little below 80%" if self.accuracy < 0.8 else "")

    def few(self, count: int) -> list[np.ndarray]:
        """Return features (count, 128) and labels (count,) of so many of the images."""
        # Evenly spaced: MNIST's first 5,000 are unlike the last, and harder, with 28 of the
        # classifier's 41 errors. Against them real images have a precision of 0.82, else of 0.68.
        rows = np.arange(count) * len(self.labels) // count
        return [self.features[rows], self.labels[rows]]


@functools.cache
def mnist() -> Reference:
    """Return MNIST's test images, and the shipped classifier; the same object at every call."""
    images, labels = data.load_test()
    labels, model = labels.argmax(axis=1), classifier.load()
    return Reference(data.load(), images, labels, model, classifier.WEIGHTS)


def reference_for(generator, dataset: data.Dataset, params: Namespace) -> Reference:
    """Return what a generator is compared with; train a classifier if there is none yet.

    Its weights lie in a file named after its recipe and the SHA-256 of the data, beside these or
    else in the folder of the output. Labels that a GAN left out are read.

    Raises:
        UserError: as `check` and `split`.
    """
    check(generator, dataset)
    if is_mnist(dataset):
        return mnist()
    if dataset.y_train is None and (params.data or dataset.source is None):
        dataset = data.load(params.data, params.image_size, params.grey)
    train, images, labels = split(dataset)
    name = re.sub(r"\W+", "_", dataset.name)
    name = f"{name}_classifier_{classifier.RECIPE}_{dataset.fingerprint()[:16]}.npz"
    folders = [params.data and Path(params.data).parent, params.output_dir]
    paths = [Path(folder, name) for folder in folders if folder]
    reference = Reference(train, images, labels, *classifier.find_or_train(train, paths))
    print(f"scores compare with {reference}", flush=True)
    return reference


def is_mnist(dataset: data.Dataset) -> bool:
    """Return whether the shipped classifier knows images as these."""
    return dataset.source is None and dataset.image_shape == (28, 28, 1)


def split(dataset: data.Dataset) -> tuple[data.Dataset, np.ndarray, np.ndarray]:
    """Split data, always alike, in those to train on, and images to compare with and their labels.

    The latter are a sixth of each class, up to 10,000.

    Raises:
        UserError: they have no labels, or too few images of any class.
    """
    if dataset.y_train is None:
        raise UserError(f"scores need labels, and {dataset.name} came without: give them too")
    labels = dataset.y_train.argmax(axis=1)
    rows = np.random.default_rng(classifier.SEED).permutation(len(labels))
    rows = rows[labels[rows].argsort(kind="stable")]
    held = rows[:: max(6, -(-len(labels) // MOST))]
    fewest = np.bincount(labels[held], minlength=dataset.num_labels).min()
    if len(held) < FEWEST or fewest < FEWEST_OF_CLASS:
        raise UserError(
            f"scores compare with a sixth of the images, at least {FEWEST:,} and "
            f"{FEWEST_OF_CLASS} of each class: of {dataset.name} these are {len(held):,}, and "
            f"{fewest} of the rarest"
        )
    rows = np.setdiff1d(rows, held)
    train = dataset._replace(x_train=dataset.x_train[rows], y_train=dataset.y_train[rows])
    return train, dataset.x_train[held], labels[held]


def evaluate(
    generator: Generator | keras.Model,
    seed: int,
    count: int | None = None,
    quick: bool = False,
    reference: Reference | None = None,
) -> dict:
    """Score a generator's images.

    Args:
        generator: of noise; of noise and one-hot labels, then asked for the labels of the images
            compared with, and scored on them; or InfoGAN's, then of random categories and codes.
        seed: of the inputs, and of the classification accuracy score's classifier.
        count: how many images to draw, 1,000 to 10,000, by default as many as there are to compare
            with. They are scored against as many, so only scores of equal counts can be compared.
        quick: leave out the classification accuracy score, which takes longer than all others.
        reference: what to compare with, as `reference_for` returns it; MNIST by default.

    Returns:
        Python numbers, and lists with one for each class: `count`, `frechet_distance`,
        `classifier_score`, `precision`, `coverage`, `recall`, `class_shares`, their
        `total_variation` distance from those of the data. Where labels are requested, also
        `accuracy`, `class_accuracy`, `diversity` and `class_diversity` as shares of the data's, and
        `classification_accuracy_score`. Where images are not finite, a number may be NaN.

    Raises:
        UserError: the generator draws other images or classes, or the count is out of range.
    """
    reference = reference or mnist()
    count = checked_count(count, reference)
    check(generator, reference.train)
    generator, requested = Generator.of(generator), None
    if generator.num_labels and not generator.num_codes:  # categories are no classes
        _, requested = reference.few(count)
    inputs = generator.inputs(count, seed, requested)
    images = generator.model.predict(
        inputs if inputs[1:] else inputs[0], batch_size=BATCH_SIZE, verbose=0
    )
    return score(generator.pixels(images), requested, None if quick else seed, reference)


def evaluate_real(seed: int, count: int | None = None, reference: Reference | None = None) -> dict:
    """Score real training images, the best that can be had, as `evaluate` scores a generator's.

    Args:
        seed: of the choice of images, each at most once, and of the classification accuracy
            score's classifier. Their labels count as requested.

    Raises:
        UserError: the count is out of range.
    """
    reference = reference or mnist()
    count = checked_count(count, reference)
    x_train, y_train = reference.train[:2]
    rows = np.random.default_rng(seed).choice(len(x_train), count, replace=False)
    return score(scaled(x_train[rows]), y_train[rows].argmax(axis=1), seed, reference)


def checked_count(count: int | None, reference: Reference) -> int:
    """Return how many images to score; raise a UserError where there are no scores of so many."""
    most = min(MOST, len(reference.labels))
    count = most if count is None else count
    if not FEWEST <= count <= most:
        raise UserError(f"{count} images can't be scored: take from {FEWEST} to {most}")
    return count


def check(generator: Generator | keras.Model, dataset: data.Dataset) -> None:
    """Raise a UserError unless a generator draws images as in the data, and of their classes."""
    generator = Generator.of(generator)
    shape, theirs = generator.model.output_shape[1:], dataset.image_shape
    if shape != theirs:
        raise UserError(f"the generator draws images {shape}, {dataset.name} has {theirs}")
    if generator.num_labels and not generator.num_codes:
        one, other = generator.names, [*map(str, dataset.classes)]
        if len(one) != len(other) or (generator.classes and one != other):
            told = f"the generator draws the classes {', '.join(one)}, {dataset.name} has "
            raise UserError(told + ", ".join(other))


def score(images: np.ndarray, requested, seed: int | None, reference=None) -> dict:
    """Score images, float32 (N, side, side, channels) in [0, 1].

    Args:
        requested: the label that each is to have, (N,); None where none was asked for.
        seed: of the classification accuracy score's classifier; None leaves that score out.

    Returns:
        As `evaluate`.
    """
    reference = reference or mnist()
    features, probabilities = classify(images, reference.classifier)
    real, labels = reference.few(len(images))
    shares = formulas.class_shares(probabilities)
    theirs = np.bincount(labels, minlength=len(shares)) / len(labels)
    scores = {
        "count": len(images),
        "frechet_distance": formulas.frechet_distance(real, features),
        "classifier_score": formulas.classifier_score(probabilities),
        **neighbour_scores(real, features),
        "class_shares": shares.tolist(),
        "total_variation": formulas.total_variation(shares, theirs),
    }
    if requested is not None:
        diversity = formulas.diversity(features, requested) / formulas.diversity(real, labels)
        scores |= {
            "accuracy": formulas.accuracy(probabilities, requested),
            "class_accuracy": formulas.class_accuracy(probabilities, requested).tolist(),
            "diversity": float(diversity.mean()),
            "class_diversity": diversity.tolist(),
        }
        if seed is not None:
            scores["classification_accuracy_score"] = classification_accuracy_score(
                images, requested, seed, scaled(reference.images), reference.labels
            )
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


def classify(images: np.ndarray, model: keras.Model | None = None) -> list[np.ndarray]:
    """Have a classifier, MNIST's by default, look at images, float32 in [0, 1].

    Returns:
        Features (N, 128) and probabilities (N, num_labels), float64; NaN for images that are not
        finite.
    """
    outputs = (model or mnist().classifier).predict(images, batch_size=BATCH_SIZE, verbose=0)
    # Pooling makes numbers of NaN.
    finite = np.isfinite(images).all(axis=(1, 2, 3))[:, np.newaxis]
    return [np.where(finite, output, np.nan).astype(np.float64) for output in outputs]
