"""The classification accuracy score: can the digits that a generator draws teach?

A classifier is trained on nothing but a generator's digits, and asked for MNIST's real test
images. Digits that are wrong, unlike real ones or all alike teach it little.

GAN-train of Shmelkov, Schmid and Alahari 2018, arXiv:1807.09499, section 3.1; the score of Ravuri
and Vinyals 2019, arXiv:1905.10887.
"""

from lib import data
from lib.plumbing.tf import keras, layers
from lib.scoring import classifier, formulas

import numpy as np

BATCHES = 1500
BATCH_SIZE = 128


def classification_accuracy_score(images: np.ndarray, digits: np.ndarray, seed: int) -> float:
    """Train a classifier; return its accuracy on MNIST's 10,000 test images, from 0 to 1.

    It is about 0.1, that of chance, where the images teach nothing.
    """
    x_test, y_test = data.load_test()
    probabilities = train(images, digits, seed).predict(x_test / np.float32(255), verbose=0)
    return formulas.accuracy(probabilities, y_test.argmax(axis=1))


@classifier.float32()
def train(images: np.ndarray, digits: np.ndarray, seed: int) -> keras.Model:
    """Train a small classifier of digits, always by the same recipe.

    It draws from random streams of its own, and leaves every global one as it is.

    Args:
        images: float32 (N, 28, 28, 1) in [0, 1].
        digits: 0 to 9, (N,).
        seed: of the first weights and of the order of the images.

    Returns:
        A Model of images; its output, float32 (None, 10), is a softmax. On a processor's cores,
        the same bits every time.
    """
    rng = np.random.default_rng(seed)

    def weights():
        return keras.initializers.GlorotUniform(int(rng.integers(2**31)))

    model = keras.Sequential([keras.Input((28, 28, 1))])
    for filters in 16, 32:
        model.add(layers.Conv2D(filters, 5, kernel_initializer=weights(), activation="relu"))
        model.add(layers.MaxPooling2D())
    model.add(layers.Flatten())
    model.add(layers.Dense(64, kernel_initializer=weights(), activation="relu"))
    model.add(layers.Dense(10, kernel_initializer=weights(), activation="softmax"))
    rate = keras.optimizers.schedules.CosineDecay(3e-3, BATCHES)
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
    for _ in range(BATCHES):
        rows = rng.integers(len(images), size=BATCH_SIZE)
        model.train_on_batch(images[rows], digits[rows])
    return model
