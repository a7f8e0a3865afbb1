"""The training data, and what a training step draws from it."""

import hashlib
from pathlib import Path
from typing import NamedTuple
from zipfile import ZipFile

from lib.plumbing.errors import UserError
from lib.plumbing.files import reading
from lib.plumbing.tf import tf

import numpy as np

# The data set of LeCun, Cortes and Burges, CC BY-SA 3.0 (lib/MNIST.md).
MNIST = Path(__file__).with_name("mnist.npz")
MNIST_SHA256 = "06af5dfe73b70e3bc1c36439982b18a8d76803db9b544f6fdf838a37fbb01b64"
# As many as ImageNet has, the most that conditional GANs are compared on.
MAX_CLASSES = 1000
MAX_SIDE = 256
MAX_BYTES = 2**32


# The distributions that noise can have: the chapter's, uniform in [-1, 1), and the standard normal.
NOISES = {
    "uniform": lambda rng, shape: rng.uniform(shape, -1.0, 1.0),
    "normal": lambda rng, shape: rng.normal(shape),
}


def label_word(source: str | None) -> str:
    """Return what a label of the data is called; None stands for MNIST."""
    return "digit" if source is None else "class"


class Dataset(NamedTuple):
    """Training images and their labels, as `dataset` makes them of arrays.

    Attributes:
        x_train: uint8 (N, side, side, 1), or float32 in [0, 1]; the side is divisible by 4.
        y_train: one-hot labels, float32 (N, num_labels); None where no GAN asks for them.
        classes: the label, as the data name it, of each column of y_train; empty without.
        source: the name of the data; None for MNIST.
    """

    x_train: np.ndarray
    y_train: np.ndarray | None
    classes: tuple = ()
    source: str | None = None

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self.x_train.shape[1:]

    @property
    def image_size(self) -> int:
        return self.x_train.shape[1]

    @property
    def channels(self) -> int:
        return self.x_train.shape[3]

    @property
    def num_labels(self) -> int:
        return self.y_train.shape[1]

    @property
    def label_word(self) -> str:
        return label_word(self.source)


def dataset(x_train, y_train=None, source: str = "an array") -> Dataset:
    """Make training data of arrays as people have them.

    Args:
        x_train: images (N, side, side) or (N, side, side, 1), the side divisible by 4, from 4 to
            256: whole numbers from 0 to 255, bool, or floats in [0, 1].
        y_train: labels (N,) or (N, 1): whole numbers, bool or strings; or one-hot rows (N, n).
        source: what the data are called.

    Raises:
        UserError: the arrays are none of these; says which NumPy expression makes them fit.
    """
    x_train = checked_images(np.asarray(x_train))
    if y_train is None:
        return Dataset(x_train, None, [], source)
    classes, columns = checked_labels(np.asarray(y_train), len(x_train))
    y_train = np.eye(len(classes), dtype=np.float32)[columns]
    return Dataset(x_train, y_train, classes, source)


def checked_images(x: np.ndarray) -> np.ndarray:
    """Return images as `Dataset` has them; raise a UserError where that would be guessing."""
    found = f"x_train is {x.dtype} {x.shape}"
    if x.ndim == 4 and x.shape[3] == 3:
        scale = "" if x.dtype.kind == "f" and x.max(initial=0) <= 1 else " / 255"
        raise UserError(f"{found}, in colour: give x_train.mean(axis=3){scale}")
    if x.ndim == 3:
        x = x[..., np.newaxis]
    if x.ndim != 4 or x.shape[3] != 1 or x.shape[1] != x.shape[2] or not len(x):
        raise UserError(
            f"{found}: it must be (N, side, side) or (N, side, side, 1); flat images become that "
            "by x_train.reshape(len(x_train), side, side)"
        )
    side = x.shape[1]
    if side % 4 or not 4 <= side <= MAX_SIDE:
        pad = -side % 4
        advice = f"np.pad(x_train, ((0, 0), (0, {pad}), (0, {pad})))" if side < MAX_SIDE else "less"
        raise UserError(
            f"{found}: the side must be divisible by 4, up to {MAX_SIDE}: give {advice}"
        )
    if x.dtype.kind not in "biuf":
        raise UserError(f"{found}: it must be of whole numbers, bool or floats")
    low, high = x.min(), x.max()
    if x.dtype.kind == "f":
        if low >= 0 and high <= 1:  # NaN isn't either
            return x.astype(np.float32)
        if -1 <= low < 0 and high <= 1:
            fit = "(x_train + 1) / 2"
        elif low >= 0 and high <= 255:
            fit = "x_train / 255"
        else:
            fit = "(x_train - x_train.min()) / np.ptp(x_train)"
        raise UserError(
            f"{found}, from {low:.4g} to {high:.4g}: floats must be in [0, 1]: give {fit}"
        )
    if low < 0 or high > 255:
        fit = "(x_train - x_train.min()) / np.ptp(x_train)"
        raise UserError(f"{found}, from {low} to {high}: it must be from 0 to 255: give {fit}")
    scale = 255 if high <= 1 else 1  # 0 and 1 are black and white
    return x.astype(np.uint8) * np.uint8(scale)


def checked_labels(y: np.ndarray, count: int) -> tuple[list, np.ndarray]:
    """Return the classes among labels, in order, and the class of each image, int64 (N,).

    Raises:
        UserError: they are no labels of that many images, or of too few or too many classes.
    """
    found = f"y_train is {y.dtype} {y.shape}"
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim == 2 and y.dtype.kind in "biuf" and ((y == 0) | (y == 1)).all():
        if not (y.sum(axis=1) == 1).all():
            raise UserError(f"{found}: each one-hot row must have one 1")
        if len(y) == count and 2 <= y.shape[1] <= MAX_CLASSES:
            return [*range(y.shape[1])], y.argmax(axis=1)
    if y.dtype.kind == "S" or (y.dtype == object and all(isinstance(v, str) for v in y.flat)):
        y = y.astype(str)  # as pandas has them
    if y.dtype.kind == "f" and np.array_equal(y, np.rint(y)) and abs(y).max(initial=0) < 2**31:
        y = y.astype(np.int64)
    if y.shape != (count,) or y.dtype.kind not in "biuU":
        raise UserError(
            f"{found}: it must be a whole number or a string for each of the {count} images, or "
            "one-hot rows"
        )
    classes, columns = np.unique(y, return_inverse=True)
    if not 2 <= len(classes) <= MAX_CLASSES:
        raise UserError(f"{found}, of {len(classes):,} classes: it must have 2 to {MAX_CLASSES:,}")
    return classes.tolist(), columns.reshape(-1)


def load(path: str | Path | None = None, labels: bool = True) -> Dataset:
    """Load MNIST's training images, or the arrays x_train and y_train of an npz file.

    Args:
        path: of the file; its arrays are as `dataset` takes them.
        labels: whether a GAN asks for them; without, y_train needn't be there.

    Raises:
        UserError: the file is missing, damaged, too large, or has no such arrays.
    """
    names = ["x_train", "y_train"] if labels else ["x_train"]
    if path is None:
        arrays = read_arrays(intact_mnist(), names)
        return dataset(*arrays)._replace(source=None)
    with reading(path, ".npz", " and ".join(names)):
        arrays = read_arrays(path, names)
    found = dataset(*arrays, source=Path(path).name)
    if labels:
        print(f"classes of {found.source}:", *found.classes)
    return found


def read_arrays(path: str | Path, names: list[str]) -> list[np.ndarray]:
    """Read arrays of an npz; nothing is unpickled, as that would run code from the file."""
    with ZipFile(path) as archive:
        sizes = {Path(info.filename).stem: info.file_size for info in archive.infolist()}
    if missing := [name for name in names if name not in sizes]:
        others = iter([name for name in sizes if name not in names and name.isidentifier()])
        old = {name: name if name in sizes else next(others, None) for name in names}
        renamed = ", ".join(
            f'{new}=f["{name}"]' if name else f"{new}=..." for new, name in old.items()
        )
        raise UserError(
            f"{path} has no {' and no '.join(missing)}, but {', '.join(sizes) or 'nothing'}: write "
            f'another, as by f = np.load("{Path(path).name}"); np.savez("own.npz", {renamed})'
        )
    if (size := sum(sizes[name] for name in names)) > MAX_BYTES:
        raise UserError(f"{path} holds {size:,} bytes: give up to {MAX_BYTES:,}")
    with np.load(path, allow_pickle=False) as arrays:
        return [arrays[name] for name in names]


def load_test() -> tuple[np.ndarray, np.ndarray]:
    """Load MNIST's test images and labels.

    Returns:
        x_test: uint8 (10000, 28, 28, 1).
        y_test: float32 (10000, 10), one-hot.

    Raises:
        UserError: the file is damaged.
    """
    x_test, y_test = read_arrays(intact_mnist(), ["x_test", "y_test"])
    return x_test[..., np.newaxis], np.eye(10, dtype=np.float32)[y_test]


def intact_mnist() -> Path:
    """Return the path of the MNIST that is shipped; raise a UserError where it was changed."""
    if hashlib.sha256(MNIST.read_bytes()).hexdigest() != MNIST_SHA256:
        raise UserError(f"{MNIST} is damaged: restore it from the repository")
    return MNIST


class Sampler:
    """Draws a training step's batches, all from one random stream.

    A compiled step can call it. Images stay on the device, in a variable: from a tensor TensorFlow
    gathers bytes on the processor alone. `rng`, the stream's state, is a variable that a checkpoint
    can hold: whatever else a step draws at random has to come from it, as by `draw.rng.normal`.

    Args:
        params: seed, batch_size, latent_size; `noise`, one of NOISES, and `image_range`, the values
            of black and white that the networks are trained on, where these aren't the chapter's.
        dataset: what the images, and the labels of a conditional GAN, are drawn from.
    """

    def __init__(self, params, dataset: Dataset):
        self.dataset = dataset
        self.rng = tf.random.Generator.from_seed(params.seed)
        strategy = tf.distribute.get_strategy()
        self.batch_size = params.batch_size // strategy.num_replicas_in_sync  # a replica's share
        self.latent_size = params.latent_size
        self.distribution = getattr(params, "noise", "uniform")
        self.image_range = tuple(getattr(params, "image_range", (0.0, 1.0)))
        if self.distribution not in NOISES:
            raise UserError(
                f"noise {self.distribution!r} is unknown: give one of {', '.join(NOISES)}"
            )
        self.x_train = tf.convert_to_tensor(dataset.x_train)
        if strategy.cluster_resolver is None:  # a cluster exchanges no variables of bytes
            self.x_train = tf.Variable(self.x_train, trainable=False)
        labels = dataset.y_train
        self.y_train = None if labels is None else tf.convert_to_tensor(labels)

    def images(self) -> tf.Tensor:
        """Draw real images, uniformly with replacement: float32 (batch, side, side, 1)."""
        return self._images(self._rows())

    def labelled_images(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Draw real images as above with their labels, float32 (batch, num_labels), one-hot."""
        rows = self._rows()
        return self._images(rows), tf.gather(self.y_train, rows)

    def noise(self, count: int | None = None) -> tf.Tensor:
        """Draw noise, uniform in [-1, 1) by default: float32 (count or batch, latent_size)."""
        return sample_noise(self.rng, count or self.batch_size, self.latent_size, self.distribution)

    def labels(self) -> tf.Tensor:
        """Draw labels, each equally likely: float32 (batch, num_labels), one-hot."""
        return sample_labels(self.rng, self.batch_size, self.y_train.shape[1])

    def codes(self, num_categories: int) -> list[tf.Tensor]:
        """Draw InfoGAN's codes: a category, as labels are, and two of float32 (batch, 1) in [0, 1)."""
        category = sample_labels(self.rng, self.batch_size, num_categories)
        return [category, *(self.rng.uniform([self.batch_size, 1]) for _ in range(2))]

    def grid_labels(self, count: int) -> tf.Tensor:
        """Return the labels of a sample grid, 0, 1, ..., n - 1, 0, 1, ...: (count, num_labels)."""
        num_labels = self.y_train.shape[1]
        return tf.one_hot(tf.range(count) % num_labels, num_labels)

    def fingerprint(self) -> str:
        """Return the SHA-256 of all images and labels, with their types and shapes."""
        digest = hashlib.sha256()
        for array in self.dataset.x_train, self.dataset.y_train:
            if array is not None:
                digest.update(f"{array.dtype.name} {array.shape}".encode())
                digest.update(np.ascontiguousarray(array))
        return digest.hexdigest()

    def _rows(self) -> tf.Tensor:
        return self.rng.uniform([self.batch_size], maxval=len(self.dataset.x_train), dtype=tf.int64)

    def _images(self, rows: tf.Tensor) -> tf.Tensor:
        images = tf.image.convert_image_dtype(tf.gather(self.x_train, rows), tf.float32)
        low, high = self.image_range
        return images if (low, high) == (0, 1) else low + (high - low) * images


def sample_noise(rng: tf.random.Generator, count: int, latent_size: int, noise: str) -> tf.Tensor:
    """Draw noise of one of NOISES: float32 (count, latent_size)."""
    return NOISES[noise](rng, (count, latent_size))


def sample_labels(rng: tf.random.Generator, count: int, num_labels: int) -> tf.Tensor:
    """Draw labels, each equally likely: float32 (count, num_labels), one-hot."""
    labels = rng.uniform([count], maxval=num_labels, dtype=tf.int64)
    return tf.one_hot(labels, num_labels)
