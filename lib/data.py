"""The training data, what a training step draws of it, and the distributions of noise."""

import hashlib
import math
from pathlib import Path
from typing import NamedTuple

from lib import images
from lib.images import MAX_SIDE
from lib.pictures import to_uint8
from lib.plumbing.errors import UserError
from lib.plumbing.tf import tf

import numpy as np
from PIL import Image

# The data set of LeCun, Cortes and Burges, CC BY-SA 3.0 (lib/MNIST.md).
MNIST = Path(__file__).with_name("mnist.npz")
MNIST_SHA256 = "06af5dfe73b70e3bc1c36439982b18a8d76803db9b544f6fdf838a37fbb01b64"
# As many as ImageNet has, the most that conditional GANs are compared on.
MAX_CLASSES = 1000
# What people have for black and white.
RANGES = (0, 1), (-1, 1), (0, 255), (-128, 127), (0, 65535)
ROUNDING = 1e-3  # by which floats may lie beyond 0 and 1
DARK = 0.3  # what the brightest pixel reaches in any picture
# The distributions that noise can have: the chapter's, uniform in [-1, 1), and the standard normal.
# `explore.DEVIATIONS` knows how wide each is.
NOISES = {
    "uniform": lambda rng, shape: rng.uniform(shape, -1.0, 1.0),
    "normal": lambda rng, shape: rng.normal(shape),
}
IMAGE_RANGES = (0, 1), (-1, 1)  # of black and white, which networks are trained on


def label_word(source: str | None) -> str:
    """Return what a label of the data is called; None stands for MNIST."""
    return "digit" if source is None else "class"


class Dataset(NamedTuple):
    """Training images and their labels, as `dataset` makes them of arrays.

    Attributes:
        x_train: uint8 (N, side, side, 1), of colour (N, side, side, 3); or float32 in [0, 1]. The
            side is divisible by 4.
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
        self.require_labels()
        return self.y_train.shape[1]

    def require_labels(self) -> None:
        """Raise a UserError where there are no labels."""
        if self.y_train is None:
            raise UserError(f"{self.name} came without labels, which this GAN needs: give them too")

    @property
    def name(self) -> str:
        return self.source or "MNIST"

    @property
    def names(self) -> list[str]:
        """What each label is called."""
        return [str(name) for name in self.classes or range(self.num_labels)]

    @property
    def description(self) -> str:
        """How many images of what size and colour these are, and of which classes."""
        colour = "grey" if self.channels == 1 else "colour"
        size = f"{self.image_size} x {self.image_size}"
        told = f"{len(self.x_train):,} images of {self.name}, {size} in {colour}"
        if self.y_train is None:
            return told
        names, counts = self.names, self.y_train.sum(axis=0).astype(int)
        rare = f" ({names[counts.argmin()]})" if counts.min() < counts.mean() / 10 else ""
        most = f"{rare} to {counts.max():,}" if counts.min() < counts.max() else ""
        told += f", {len(names)} classes of {counts.min():,}{most}"
        if len(names) > 20:
            return told
        return f"{told}: {', '.join(f'{n} {c:,}' for n, c in zip(names, counts, strict=True))}"

    @property
    def label_word(self) -> str:
        return label_word(self.source)

    def fingerprint(self) -> str:
        """Return the SHA-256 of all images and labels, with their types and shapes."""
        digest = hashlib.sha256()
        for array in self.x_train, self.y_train:
            if array is not None:
                digest.update(f"{array.dtype.name} {array.shape}".encode())
                digest.update(np.ascontiguousarray(array))
        return digest.hexdigest()


def dataset(
    x_train, y_train=None, source="an array", image_size: int | None = None, grey: bool = False
) -> Dataset:
    """Make training data of arrays as people have them; warn of images that are nearly black.

    Args:
        x_train: images (N, side, side) or (N, side, side, 1), of colour (N, side, side, 3), or with
            alpha, which becomes white, (N, side, side, 4); the side divisible by 4, from 4 to 256.
            Whole numbers from 0 to 255, bool, or floats in [0, 1].
        y_train: labels (N,) or (N, 1): whole numbers, bool or strings; or one-hot rows (N, n).
        source: what the data are called.
        image_size: crop images of any size to a square, and resize them to this side.
        grey: leave out the colour.

    Raises:
        UserError: the arrays are none of these; says which NumPy expression makes them fit.
    """
    x_train = checked_images(np.asarray(x_train), image_size, grey)
    low, high = x_train.min(), x_train.max()
    unit = 255 if x_train.dtype == np.uint8 else 1
    if low == high or high / unit < DARK:
        seen = f"{low / unit:.2f} to {high / unit:.2f} of white"
        give = f": if {high:g} is white, give {rescaled(0, high)}" if high else ""
        print(f"warning: {source} is nearly black or all one grey, {seen}{give}", flush=True)
    if y_train is None:
        return Dataset(x_train, None, [], source)
    classes, columns = checked_labels(np.asarray(y_train), len(x_train))
    y_train = np.eye(len(classes), dtype=np.float32)[columns]
    return Dataset(x_train, y_train, classes, source)


def checked_images(x: np.ndarray, image_size: int | None, grey: bool) -> np.ndarray:
    """Return images as `Dataset` has them; raise a UserError where that would be guessing."""
    found = f"x_train is {x.dtype} {x.shape}"
    if not len(x):
        raise UserError(f"{found}: there are no images in it")
    axes = x.ndim
    if axes == 3:
        x = x[..., np.newaxis]
    if x.ndim != 4 or x.shape[3] not in (1, 3, 4):
        give, side = "", math.isqrt(x.shape[1]) if x.ndim == 2 else 0
        if x.ndim == 4 and x.shape[1] in (1, 3, 4):  # channels first
            give = ": give x_train.transpose(0, 2, 3, 1)"
        elif x.ndim == 2 and side**2 == x.shape[1] != len(x):  # flat
            give = f": give x_train.reshape(-1, {side}, {side})"
        raise UserError(
            f"{found}: it must be (N, side, side), (N, side, side, 1) or (N, side, side, 3){give}"
        )
    count, height, width, channels = x.shape
    if not image_size and height == width and height % 4 and height < MAX_SIDE:
        before, after = -height % 4 // 2, (-height % 4 + 1) // 2
        pad = ", ".join(["(0, 0)", *2 * [f"({before}, {after})"], "(0, 0)"][:axes])
        raise UserError(
            f"{found}: the side must be divisible by 4: add --image-size="
            f"{images.usual_side(height)}, or give np.pad(x_train, ({pad}), 'edge')"
        )
    x = in_range(x, found)
    side = image_size or height
    if (height, width) != (side, side) or (grey and channels > 1) or channels == 4:
        images.check_size(count, side, image_size or width, channels, f"{found} of")
        x, grey = x if x.dtype == np.uint8 else to_uint8(x), grey or channels == 1
        x = x[..., 0] if channels == 1 else x
        x = np.stack([images.fitted(Image.fromarray(pixels), image_size, grey) for pixels in x])
    images.check_size(*x.shape, f"{found} of")
    return x


def in_range(x: np.ndarray, found: str) -> np.ndarray:
    """Return values as uint8, or as float32 in [0, 1].

    Takes whole numbers from 0 to 255, or 0 and 1, and floats from 0 to 1, but for a rounding.

    Raises:
        UserError: there are others; names the likeliest black and white.
    """
    if x.dtype.kind not in "biuf":
        raise UserError(f"{found}: it must be of whole numbers, bool or floats")
    low, high = float(x.min()), float(x.max())
    if not math.isfinite(high - low):
        raise UserError(
            f"{found}, with values that are no finite numbers: give "
            "np.nan_to_num(x_train, posinf=1, neginf=0)"
        )
    if x.dtype.kind == "f":
        if low >= -ROUNDING and high <= 1 + ROUNDING:
            return x.astype(np.float32).clip(0, 1)
    elif low >= 0 and high <= 255:
        x = x.astype(np.uint8, copy=False)
        return x * np.uint8(255) if high <= 1 else x
    own = min(low, 0.0), max(high, 0.0)
    black, white = next((usual for usual in RANGES if is_near(own, usual)), own)
    raise UserError(
        f"{found}, from {low:.6g} to {high:.6g}: floats must be from 0 to 1, whole numbers from 0 "
        f"to 255. If black is {black:.6g} and white {white:.6g}, give {rescaled(black, white)}"
    )


def is_near(own: tuple[float, float], usual: tuple[float, float]) -> bool:
    """Return whether both ends of a range are within a quarter of the usual range's width."""
    return max(abs(np.subtract(own, usual))) <= (usual[1] - usual[0]) / 4


def rescaled(black: float, white: float) -> str:
    """Return the NumPy expression that brings black and white to 0 and 1, and clips the rest."""
    return f"np.interp(x_train, ({black:.6g}, {white:.6g}), (0, 1))"


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


def load(
    path: str | Path | None = None,
    image_size: int | None = None,
    grey: bool = False,
    labels: bool = True,
) -> Dataset:
    """Load MNIST's training images, or images as `images.read` reads them.

    Without `labels`, which not each GAN asks for, there needn't be any.

    Raises:
        UserError: the file is missing, damaged, too large, or holds no such images.
    """
    if path is None or str(path) == "mnist":
        x_train, y_train = images.read_npz(intact_mnist(), labels)
        return dataset(x_train, y_train, "MNIST", image_size, grey)._replace(source=None)
    x_train, y_train = images.read(path, labels, image_size, grey)
    return dataset(x_train, y_train, Path(path).name, image_size, grey)


def load_test() -> tuple[np.ndarray, np.ndarray]:
    """Load MNIST's test images, uint8 (10000, 28, 28, 1), and labels, float32 (10000, 10), one-hot.

    Raises:
        UserError: the file is damaged.
    """
    with np.load(intact_mnist()) as arrays:
        x_test, y_test = arrays["x_test"], arrays["y_test"]
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
        if self.image_range not in IMAGE_RANGES:
            raise UserError(f"image_range is {params.image_range}: give (0, 1) or (-1, 1)")
        if self.distribution not in NOISES:
            known = ", ".join(NOISES)
            raise UserError(f"noise {self.distribution!r} is unknown: give one of {known}")
        self.x_train = tf.convert_to_tensor(dataset.x_train)
        if strategy.cluster_resolver is None:  # a cluster exchanges no variables of bytes
            self.x_train = tf.Variable(self.x_train, trainable=False)
        labels = dataset.y_train
        self.y_train = None if labels is None else tf.convert_to_tensor(labels)

    def images(self) -> tf.Tensor:
        """Draw real images, uniformly with replacement: float32 (batch, side, side, channels)."""
        return self._images(self._rows())

    def labelled_images(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Draw real images as above with their labels, float32 (batch, num_labels), one-hot."""
        self.dataset.require_labels()
        rows = self._rows()
        return self._images(rows), tf.gather(self.y_train, rows)

    def noise(self, count: int | None = None) -> tf.Tensor:
        """Draw noise, uniform in [-1, 1) by default: float32 (count or batch, latent_size)."""
        return sample_noise(self.rng, count or self.batch_size, self.latent_size, self.distribution)

    def labels(self) -> tf.Tensor:
        """Draw labels, each equally likely: float32 (batch, num_labels), one-hot."""
        return self._one_hot(self.dataset.num_labels)

    def codes(self, num_categories: int) -> list[tf.Tensor]:
        """Draw InfoGAN's codes: a category, as labels are, and two of float32 (batch, 1) in [0, 1)."""
        category = self._one_hot(num_categories)
        return [category, *(self.rng.uniform([self.batch_size, 1]) for _ in range(2))]

    def grid_labels(self, count: int) -> tf.Tensor:
        """Return the labels of a sample grid, 0, 1, ..., n - 1, 0, 1, ...: (count, num_labels)."""
        num_labels = self.dataset.num_labels
        return tf.one_hot(tf.range(count) % num_labels, num_labels)

    def _rows(self) -> tf.Tensor:
        return self.rng.uniform([self.batch_size], maxval=len(self.dataset.x_train), dtype=tf.int64)

    def _one_hot(self, num_labels: int) -> tf.Tensor:
        labels = self.rng.uniform([self.batch_size], maxval=num_labels, dtype=tf.int64)
        return tf.one_hot(labels, num_labels)

    def _images(self, rows: tf.Tensor) -> tf.Tensor:
        images = tf.image.convert_image_dtype(tf.gather(self.x_train, rows), tf.float32)
        low, high = self.image_range
        return images if (low, high) == (0, 1) else low + (high - low) * images


def sample_noise(rng: tf.random.Generator, count: int, latent_size: int, noise: str) -> tf.Tensor:
    """Draw noise of one of NOISES: float32 (count, latent_size)."""
    return NOISES[noise](rng, (count, latent_size))
