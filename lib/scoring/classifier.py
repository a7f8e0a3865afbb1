"""A small classifier of MNIST digits: the instrument that the scores are read from.

Its weights are shipped. `python3 -m lib.scoring.classifier` trains it anew, in about five minutes
on two cores, and replaces them; scores read from other weights can't be compared.
"""

import argparse
import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lib import data
from lib.plumbing.errors import UserError
from lib.plumbing.files import atomic
from lib.plumbing.tf import keras, layers, tf

import numpy as np

WEIGHTS = Path(__file__).parents[2] / "pretrained" / "mnist_classifier.weights.h5"
SEED = 1
EPOCHS = 11
BATCH_SIZE = 128


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


def train(x_train: np.ndarray, y_train: np.ndarray, epochs: int = EPOCHS) -> keras.Model:
    """Train the network on images turned, shifted and scaled at random.

    Args:
        x_train, y_train: as `data.load` gives them.
        epochs: how often each image is seen.

    Returns:
        The network, as `build` describes it. On a processor's cores, the same bits every time.
    """
    keras.utils.set_random_seed(SEED)
    distort = keras.Sequential(
        [
            layers.RandomRotation(0.03, fill_mode="constant"),
            layers.RandomTranslation(0.08, 0.08, fill_mode="constant"),
            layers.RandomZoom((-0.1, 0.1), (-0.1, 0.1), fill_mode="constant"),
        ]
    )
    batches = (
        tf.data.Dataset.from_tensor_slices((x_train, y_train))
        .shuffle(len(x_train))
        .batch(BATCH_SIZE, drop_remainder=True)
        .map(lambda x, y: (distort(tf.cast(x, tf.float32) / 255, training=True), y))
        .prefetch(tf.data.AUTOTUNE)
    )
    model = build()
    trained = keras.Model(model.inputs, model.outputs[1])
    rate = keras.optimizers.schedules.CosineDecay(3e-3, epochs * len(batches))
    trained.compile(keras.optimizers.Adam(rate), "categorical_crossentropy", metrics=["accuracy"])
    trained.fit(batches, epochs=epochs, shuffle=False, verbose=2)
    return model


def accuracy(model: keras.Model) -> float:
    """Return the share of MNIST's test images that the network takes for the digit they are."""
    x_test, y_test = data.load_test()
    _, probabilities = model.predict(x_test / np.float32(255), verbose=0)
    return float((probabilities.argmax(axis=1) == y_test.argmax(axis=1)).mean())


def main() -> None:
    """Train, and write the weights."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    model = train(*data.load()[:2])
    print(f"accuracy on the test images: {accuracy(model):.2%}")
    with atomic(WEIGHTS) as path:
        model.save_weights(path)
    print(f"wrote {WEIGHTS}")


if __name__ == "__main__":
    main()
