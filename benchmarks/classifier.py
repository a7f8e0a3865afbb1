"""Train the classifier that the scores are read from: `python3 -m benchmarks.classifier`.

It takes about five minutes on two cores, and replaces the shipped weights; scores read from other
weights can't be compared.
"""

import argparse

from lib import data
from lib.plumbing.files import atomic
from lib.plumbing.tf import keras, layers, tf
from lib.scoring import classifier

import numpy as np

SEED = 1
EPOCHS = 11
BATCH_SIZE = 128


def train(x_train: np.ndarray, y_train: np.ndarray, epochs: int = EPOCHS) -> keras.Model:
    """Train the network on images turned, shifted and scaled at random.

    Args:
        x_train, y_train: as `data.load` gives them.
        epochs: how often each image is seen.

    Returns:
        The network, as `classifier.build` describes it. On a processor's cores, the same bits every
        time.
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
    model = classifier.build()
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
    with atomic(classifier.WEIGHTS) as path:
        model.save_weights(path)
    print(f"wrote {classifier.WEIGHTS}")


if __name__ == "__main__":
    main()
