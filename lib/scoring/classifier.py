"""Small classifiers of the data at hand: the instruments that the scores are read from.

MNIST's weights are shipped; benchmarks/classifier.py trained them.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lib.images import progress_bar
from lib.plumbing.errors import UserError
from lib.plumbing.files import atomic
from lib.plumbing.tf import keras, layers, tf

import numpy as np

WEIGHTS = Path(__file__).parents[2] / "pretrained" / "mnist_classifier.weights.h5"
SEED = 1
RECIPE = 1  # the number of what `build` and `train` do, which weights that are kept are named after
BATCH_SIZE = 128


@contextmanager
def reproducible() -> Iterator[None]:
    """Build layers that compute in float32, whatever a GAN is trained in, from a seed of their own.

    Keras seeds layers from Python's random stream, which is left as it was.
    """
    policy, state = keras.config.dtype_policy(), random.getstate()
    keras.config.set_dtype_policy("float32")
    random.seed(SEED)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)
        random.setstate(state)


def first_layer(side: int) -> tuple[int, int, str]:
    """Return kernel size, strides and padding that bring images to about 28 x 28, or keep 4 x 4."""
    strides = max(1, side // 28)
    return max(5, 2 * strides + 1), strides, "valid" if side >= 20 else "same"


@reproducible()
def build(image_shape: tuple[int, int, int] = (28, 28, 1), num_labels: int = 10) -> keras.Model:
    """Build the network with random weights, 190,000 of them for MNIST.

    Returns:
        A Model of images, float32 (None, side, side, channels) in [0, 1]. Outputs, float32:
        `features` (None, 128), of either sign, and `probabilities` (None, num_labels), a softmax.
    """
    kernel, strides, padding = first_layer(image_shape[0])
    x = images = keras.Input(image_shape, name="images")
    for filters, size, stride, pool in ((32, kernel, strides, 2), (64, 3, 1, 1), (64, 3, 1, 2)):
        x = layers.Conv2D(filters, size, stride, padding, use_bias=False)(x)
        x = layers.MaxPooling2D(pool)(x)  # first: what follows then costs a quarter
        x = layers.BatchNormalization()(x)
        x = layers.ReLU()(x)
    x = layers.Flatten()(x)
    x = layers.Dense(128, use_bias=False)(x)
    # Taken ahead of the ReLU: there noise and stripes lie apart from digits. Black images don't:
    # they are taken for a 1, and are as near to one as digits are to each other.
    features = layers.BatchNormalization(name="features")(x)
    x = layers.ReLU()(features)
    x = layers.Dropout(0.5)(x)
    probabilities = layers.Dense(num_labels, activation="softmax", name="probabilities")(x)
    return keras.Model(images, [features, probabilities], name="classifier")


def load() -> keras.Model:
    """Return MNIST's network with the shipped weights.

    Raises:
        UserError: the file of the weights is missing or damaged.
    """
    model = build()
    try:
        model.load_weights(WEIGHTS)
    except Exception as error:  # HDF5 and Keras raise whatever they stumble on
        raise UserError(f"cannot read {WEIGHTS}: restore it from the repository") from error
    return model


@reproducible()
def train(images: np.ndarray, labels: np.ndarray, epochs: int | None = None) -> keras.Model:
    """Train the network on images turned, shifted and scaled at random, behind a progress bar.

    It leaves every global random stream as it is.

    Args:
        images: uint8, or float32 in [0, 1], (N, side, side, channels), at least a batch of them.
        labels: one-hot, (N, num_labels).
        epochs: how often each image is seen; 11, and of fewer than 18,000 images more.

    Returns:
        The network, as `build` describes it. On a processor's cores, the same bits every time.
    """
    distort = keras.Sequential()
    distort.add(layers.RandomRotation(0.03, fill_mode="nearest"))
    distort.add(layers.RandomTranslation(0.08, 0.08, fill_mode="nearest"))
    distort.add(layers.RandomZoom((-0.1, 0.1), (-0.1, 0.1), fill_mode="nearest"))
    model = build(images.shape[1:], labels.shape[1])
    images, labels = tf.convert_to_tensor(images), tf.convert_to_tensor(labels)

    def batch(rows):
        x = tf.image.convert_image_dtype(tf.gather(images, rows), tf.float32)
        return distort(x, training=True), tf.gather(labels, rows)

    epochs = epochs or max(11, 200_000 // len(images))
    steps, rng = len(images) // BATCH_SIZE, np.random.default_rng(SEED)
    # not tf.data's shuffle, which the run's seed would move
    rows = [rng.permutation(len(images))[: steps * BATCH_SIZE] for _ in range(epochs)]
    rows = np.reshape(rows, (epochs * steps, BATCH_SIZE))
    batches = tf.data.Dataset.from_tensor_slices(rows).map(batch).prefetch(tf.data.AUTOTUNE)
    trained = keras.Model(model.inputs, model.outputs[1])
    rate = keras.optimizers.schedules.CosineDecay(3e-3, len(rows))
    trained.compile(keras.optimizers.Adam(rate), "categorical_crossentropy")
    with progress_bar() as bar:
        for x, y in bar.track(batches, len(rows), description="training a classifier"):
            trained.train_on_batch(x, y)
    return model


def find_or_train(dataset, paths: list[Path]) -> tuple[keras.Model, Path | None]:
    """Return a classifier of a Dataset, and where its weights lie.

    That is the first of the paths that can be read; or, newly trained, the first that can be
    written, if any.
    """
    for path in filter(Path.exists, paths):
        try:
            model = build(dataset.image_shape, dataset.num_labels)
            with np.load(path, allow_pickle=False) as arrays:
                model.set_weights([*arrays.values()])
            return model, path
        except Exception:  # noqa: BLE001  (there is no end to what a file can hold)
            print(f"{path} is damaged", flush=True)
    print(f"training a classifier of {dataset.name}, once for these data", flush=True)
    model = train(dataset.x_train, dataset.y_train)
    for path in paths:
        with suppress(OSError):
            with atomic(path) as temporary:
                np.savez(temporary, *model.get_weights())
            return model, path
    return model, None
