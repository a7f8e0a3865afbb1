"""The classification accuracy score: can the images that a generator draws teach?

A classifier is trained on nothing but a generator's images, and asked for real ones. Images that
are of the wrong class, unlike real ones or all alike teach it little.

GAN-train of Shmelkov, Schmid and Alahari 2018, arXiv:1807.09499, section 3.1; the score of Ravuri
and Vinyals 2019, arXiv:1905.10887.
"""

from lib.plumbing.tf import keras, layers
from lib.scoring import classifier, formulas

import numpy as np

BATCHES = 1500
BATCH_SIZE = 128


def classification_accuracy_score(
    images: np.ndarray, labels: np.ndarray, seed: int, real: np.ndarray, real_labels: np.ndarray
) -> float:
    """Train a classifier as `train` does; return its accuracy on real images, from 0 to 1."""
    probabilities = train(images, labels, seed).predict(real, verbose=0)
    return formulas.accuracy(probabilities, real_labels)


@classifier.reproducible()
def train(images: np.ndarray, labels: np.ndarray, seed: int) -> keras.Model:
    """Train a small classifier, always by the same recipe.

    It draws from random streams of its own, and leaves every global one as it is.

    Args:
        images: float32 (N, side, side, channels) in [0, 1].
        labels: whole numbers from 0, (N,).
        seed: of the first weights and of the order of the images.

    Returns:
        A Model of images; its output, float32 (None, num_labels), is a softmax. On a processor's
        cores, the same bits every time.
    """
    rng = np.random.default_rng(seed)

    def weights():
        return keras.initializers.GlorotUniform(int(rng.integers(2**31)))

    kernel, strides, padding = classifier.first_layer(images.shape[1])
    like = {"padding": padding, "activation": "relu"}
    model = keras.Sequential([keras.Input(images.shape[1:])])
    for filters, size, stride in (16, kernel, strides), (32, 5, 1):
        model.add(layers.Conv2D(filters, size, stride, kernel_initializer=weights(), **like))
        model.add(layers.MaxPooling2D())
    model.add(layers.Flatten())
    model.add(layers.Dense(64, kernel_initializer=weights(), activation="relu"))
    num_labels = int(labels.max()) + 1
    model.add(layers.Dense(num_labels, kernel_initializer=weights(), activation="softmax"))
    rate = keras.optimizers.schedules.CosineDecay(3e-3, BATCHES)
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
    for _ in range(BATCHES):
        rows = rng.integers(len(images), size=BATCH_SIZE)
        model.train_on_batch(images[rows], labels[rows])
    return model
