"""The training data, and what a training step draws from it."""

import hashlib
import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

from lib.errors import UserError
from lib.tf import tf

import numpy as np

# The data set of LeCun, Cortes and Burges, CC BY-SA 3.0 (lib/MNIST.md).
MNIST = Path(__file__).with_name("mnist.npz")
MNIST_SHA256 = "06af5dfe73b70e3bc1c36439982b18a8d76803db9b544f6fdf838a37fbb01b64"


class Dataset(NamedTuple):
    """Training images and their labels.

    Attributes:
        x_train: uint8 (N, side, side, 1), or float32 in [0, 1]; the side is divisible by 4.
        y_train: one-hot labels, float32 (N, num_labels); None where no GAN asks for them.
    """

    x_train: np.ndarray
    y_train: np.ndarray | None

    @property
    def image_size(self) -> int:
        return self.x_train.shape[1]

    @property
    def num_labels(self) -> int:
        return self.y_train.shape[1]


def load(path: str | Path | None = None) -> Dataset:
    """MNIST's training images, or the arrays x_train and y_train of an npz file.

    Raises:
        UserError: the file is missing, damaged, or not in MNIST's layout.
    """
    path = intact_mnist() if path is None else path
    try:
        # Never unpickle: that would run code from the file.
        with np.load(path, allow_pickle=False) as arrays:
            x_train, y_train = arrays["x_train"], arrays["y_train"]
    except KeyError as error:
        raise UserError(f"{path} has no x_train and y_train: {error.args[0]}") from error
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(
            f"cannot read {path}: give an .npz file with x_train and y_train ({error})"
        ) from error
    side = x_train.shape[-1] if x_train.ndim else 0
    if x_train.dtype != np.uint8 or x_train.shape[1:] != (side, side) or side == 0 or side % 4:
        raise UserError(
            f"x_train in {path} is {x_train.dtype} {x_train.shape}: it must be uint8 "
            "(N, side, side) with a side divisible by 4"
        )
    if not (np.issubdtype(y_train.dtype, np.integer) and y_train.shape == x_train.shape[:1]):
        raise UserError(
            f"y_train in {path} is {y_train.dtype} {y_train.shape}: it must be one whole "
            f"number for each of the {len(x_train)} images"
        )
    classes = np.unique(y_train)
    if len(classes) < 2 or not np.array_equal(classes, np.arange(len(classes))):
        raise UserError(f"the labels in {path} must be 0, 1, ..., n - 1, all of them in use")
    return Dataset(x_train[..., np.newaxis], np.eye(len(classes), dtype=np.float32)[y_train])


def load_test() -> tuple[np.ndarray, np.ndarray]:
    """MNIST's test images and labels.

    Returns:
        x_test: uint8 (10000, 28, 28, 1).
        y_test: float32 (10000, 10), one-hot.

    Raises:
        UserError: the file is damaged.
    """
    with np.load(intact_mnist(), allow_pickle=False) as arrays:
        return arrays["x_test"][..., np.newaxis], np.eye(10, dtype=np.float32)[arrays["y_test"]]


def intact_mnist() -> Path:
    """The path of the MNIST that is shipped; a UserError where its content is not the original."""
    if hashlib.sha256(MNIST.read_bytes()).hexdigest() != MNIST_SHA256:
        raise UserError(f"{MNIST} is damaged: restore it from the repository")
    return MNIST


class Sampler:
    """Draws a training step's batches, all from one random stream.

    Made for use inside a compiled step: images stay on the device as uint8, and the
    stream's state, `rng`, is a variable that a checkpoint can hold.

    Args:
        params: seed, batch_size, latent_size.
        dataset: what the images, and the labels of a conditional GAN, are drawn from.
    """

    def __init__(self, params, dataset: Dataset):
        self.rng = tf.random.Generator.from_seed(params.seed)
        # each replica draws its share
        self.batch_size = params.batch_size // tf.distribute.get_strategy().num_replicas_in_sync
        self.latent_size = params.latent_size
        self.x_train = tf.convert_to_tensor(dataset.x_train)
        labels = dataset.y_train
        self.y_train = None if labels is None else tf.convert_to_tensor(labels)

    def images(self) -> tf.Tensor:
        """Real images, uniformly with replacement: float32 (batch, side, side, 1) in [0, 1]."""
        return self._images(self._rows())

    def labelled_images(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Real images as above and their labels, float32 (batch, num_labels), one-hot."""
        rows = self._rows()
        return self._images(rows), tf.gather(self.y_train, rows)

    def noise(self, count: int | None = None) -> tf.Tensor:
        """Noise, uniform in [-1, 1): float32 (count or batch, latent_size)."""
        return sample_noise(self.rng, count or self.batch_size, self.latent_size)

    def labels(self) -> tf.Tensor:
        """Random labels, each equally likely: float32 (batch, num_labels), one-hot."""
        return sample_labels(self.rng, self.batch_size, self.y_train.shape[1])

    def grid_labels(self, count: int) -> tf.Tensor:
        """The labels of a sample grid, 0, 1, ..., n - 1, 0, 1, ...: float32 (count, num_labels)."""
        num_labels = self.y_train.shape[1]
        return tf.one_hot(tf.range(count) % num_labels, num_labels)

    def fingerprint(self) -> str:
        """SHA-256 of all images and labels, with their types and shapes, in hexadecimal digits."""
        digest = hashlib.sha256()
        for array in self.x_train, self.y_train:
            if array is not None:
                digest.update(f"{array.dtype.name} {array.shape}".encode())
                digest.update(np.ascontiguousarray(array))
        return digest.hexdigest()

    def _rows(self) -> tf.Tensor:
        return self.rng.uniform([self.batch_size], maxval=len(self.x_train), dtype=tf.int64)

    def _images(self, rows: tf.Tensor) -> tf.Tensor:
        return tf.image.convert_image_dtype(tf.gather(self.x_train, rows), tf.float32)


def sample_noise(rng: tf.random.Generator, count: int, latent_size: int) -> tf.Tensor:
    """Noise, uniform in [-1, 1): float32 (count, latent_size)."""
    return rng.uniform([count, latent_size], -1.0, 1.0)


def sample_labels(rng: tf.random.Generator, count: int, num_labels: int) -> tf.Tensor:
    """Random labels, each equally likely: float32 (count, num_labels), one-hot."""
    labels = rng.uniform([count], maxval=num_labels, dtype=tf.int64)
    return tf.one_hot(labels, num_labels)
