"""A small classifier of MNIST digits: the instrument that the scores are read from.

Its weights are shipped; benchmarks/classifier.py trained it.
"""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lib.plumbing.errors import UserError
from lib.plumbing.tf import keras, layers

WEIGHTS = Path(__file__).parents[2] / "pretrained" / "mnist_classifier.weights.h5"


@contextmanager
def float32() -> Iterator[None]:
    """Build layers that compute in float32, whatever precision a GAN is trained in."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)


@float32()
def build() -> keras.Model:
    """Build the network with random weights, 190,000 of them.

    Returns:
        A Model of images, float32 (None, 28, 28, 1) in [0, 1]. Outputs, float32: `features`
        (None, 128), of either sign, and `probabilities` (None, 10) of the digits, a softmax.
    """
    x = images = keras.Input((28, 28, 1), name="images")
    for filters, kernel_size, pool_size in ((32, 5, 2), (64, 3, 1), (64, 3, 2)):
        x = layers.Conv2D(filters, kernel_size, use_bias=False)(x)
        x = layers.MaxPooling2D(pool_size)(x)  # first: what follows then costs a quarter
        x = layers.BatchNormalization()(x)
        x = layers.ReLU()(x)
    x = layers.Flatten()(x)
    x = layers.Dense(128, use_bias=False)(x)
    # Taken ahead of the ReLU: there noise and stripes lie apart from digits. Black images don't:
    # they are taken for a 1, and are as near to one as digits are to each other.
    features = layers.BatchNormalization(name="features")(x)
    x = layers.ReLU()(features)
    x = layers.Dropout(0.5)(x)
    probabilities = layers.Dense(10, activation="softmax", name="probabilities")(x)
    return keras.Model(images, [features, probabilities], name="mnist_classifier")


@functools.cache
def load() -> keras.Model:
    """Return the network with the shipped weights; the same object at every call.

    Raises:
        UserError: the file of the weights is missing or damaged.
    """
    model = build()
    try:
        model.load_weights(WEIGHTS)
    except Exception as error:  # HDF5 and Keras raise whatever they stumble on
        raise UserError(f"cannot read {WEIGHTS}: restore it from the repository") from error
    return model
