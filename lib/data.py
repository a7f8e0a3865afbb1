"""The training data, what a training step draws from it, and what a generator is fed."""

import hashlib
from math import prod
from pathlib import Path
from typing import NamedTuple
from zipfile import ZipFile

from lib import memory, npz, pictures
from lib.errors import UserError
from lib.files import reading
from lib.tf import tf

import numpy as np

# The data set of LeCun, Cortes and Burges, CC BY-SA 3.0 (lib/MNIST.md).
MNIST = Path(__file__).with_name("mnist.npz")
MNIST_SHA256 = "06af5dfe73b70e3bc1c36439982b18a8d76803db9b544f6fdf838a37fbb01b64"
# As many as ImageNet has, the most that conditional GANs are compared on.
MAX_CLASSES = 1000
# Of larger images the generator's first layer alone, which grows with their area, has more than
# 50 million weights.
MAX_SIDE = 256


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


def load(path: str | Path | None = None, labels: bool = True) -> Dataset:
    """MNIST's training images, or the arrays x_train and y_train of an npz file.

    Args:
        path: of the file.
        labels: whether a GAN asks for them; without, y_train needn't be there.

    Raises:
        UserError: the file is missing, damaged, or not in MNIST's layout; or memory is too small.
    """
    path = intact_mnist() if path is None else Path(path)
    content = "x_train and y_train" if labels else "x_train"
    with reading(path, ".npz", f"{content} in MNIST's layout"), ZipFile(path) as archive:
        shape, dtype = npz.declared(archive, "x_train")
        side = shape[1] if len(shape) > 1 else 0
        if (
            dtype != np.uint8
            or shape[1:] not in {(side, side), (side, side, 1)}
            or shape[0] == 0
            or side not in range(4, MAX_SIDE + 1, 4)
        ):
            raise UserError(
                f"x_train in {path} is {dtype} {shape}: it must be uint8 (N, side, side) or "
                f"(N, side, side, 1), N at least 1, with a side divisible by 4, up to {MAX_SIDE}"
            )
        memory.require(memory.DATA * prod(shape), f"x_train in {path}", "give fewer images")
        y_train = read_labels(archive, shape, path) if labels else None
        x_train = npz.read(archive, "x_train")
    return Dataset(x_train.reshape(len(x_train), side, side, 1), y_train)


def read_labels(archive: ZipFile, images: tuple[int, ...], path: Path) -> np.ndarray:
    """The labels of images of that shape, (N, ...), one-hot: float32 (N, num_labels)."""
    count = images[0]
    shape, dtype = npz.declared(archive, "y_train")
    if not (dtype.kind in "iu" and shape == (count,)):
        raise UserError(
            f"y_train in {path} is {dtype} {shape}: it must be one whole number for each of the "
            f"{count} images"
        )
    y_train = npz.read(archive, "y_train")
    classes = np.unique(y_train)
    if not 2 <= len(classes) <= MAX_CLASSES or not np.array_equal(classes, np.arange(len(classes))):
        raise UserError(
            f"the labels in {path} must be 0, 1, ..., n - 1, all of them in use, with n from 2 to "
            f"{MAX_CLASSES}"
        )
    size = prod(images) + 4 * count * len(classes)
    advice = "give fewer images or classes"
    if size > max(npz.SMALL, 2 * prod(images)):  # images are stored, zeros of labels aren't
        raise UserError(f"{path} takes {size:,} bytes with its labels one-hot: {advice}")
    memory.require(memory.DATA * size, f"{path} with its labels one-hot", advice)
    return np.eye(len(classes), dtype=np.float32)[y_train]


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


def sample_inputs(
    generator,
    count: int,
    class_label: int | None,
    seed: int,
    interpolate: bool = False,
) -> list[tf.Tensor]:
    """Fresh inputs of a generator.

    Args:
        generator: of noise, or of noise and labels.
        count: how many images are to be drawn.
        class_label: the one digit to draw; None draws random digits.
        seed: of noise and digits.
        interpolate: each row of the grid walks in equal steps from one random point of the
            latent space to another, its digit held.

    Returns:
        Noise, float32 (count, latent_size), and for a generator of labels those, one-hot, float32
        (count, num_labels).

    Raises:
        UserError: class_label is not among the generator's labels.
    """
    latent_size, *num_labels = [tensor.shape[1] for tensor in generator.inputs]
    rng = tf.random.Generator.from_seed(seed)
    rows, cols = pictures.grid_shape(count)
    if not interpolate:
        noise = sample_noise(rng, count, latent_size)
    else:
        start, end = tf.split(sample_noise(rng, 2 * rows, latent_size), 2)
        noise = tf.linspace(start, end, cols, axis=1)
        noise = tf.reshape(noise, (rows * cols, latent_size))[:count]
    if not num_labels:
        return [noise]

    num_labels = num_labels[0]
    check_digit(class_label, num_labels)
    if class_label is None:
        labels = sample_labels(rng, count, num_labels)
    else:
        labels = tf.one_hot([class_label] * count, num_labels)
    if interpolate:
        labels = tf.repeat(labels[:rows], cols, axis=0)[:count]
    return [noise, labels]


def check_digit(digit: int | None, num_labels: int) -> None:
    """Raise a UserError where a digit is asked for that isn't among the labels."""
    if digit is not None and not 0 <= digit < num_labels:
        raise UserError(f"digit {digit} is unknown here: choose from 0 to {num_labels - 1}")
