"""Images as people have them: folders and zips of pictures, npz, IDX, Keras's data sets by name."""

import glob
import gzip
import math
import os
import struct
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePath
from typing import BinaryIO
from zipfile import ZipFile

from lib.plumbing.errors import UserError
from lib.plumbing.files import reading

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

MAX_SIDE = 256
MAX_BYTES = 2**32
# No others: Pillow has PostScript run by Ghostscript.
FORMATS = "PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF"
# What systems leave in folders; hidden files aside.
LITTER = {"Thumbs.db", "desktop.ini", "__MACOSX"}
SPLITS = {"train", "training", "test", "testing", "val", "valid", "validation"}
# What the arrays of an npz are called: by Keras, by MedMNIST.
ARRAYS = ("x_train", "y_train"), ("train_images", "train_labels")
# The data sets that Keras downloads, with the names of their classes in the order of their labels.
NAMED = {
    "mnist": [],
    "fashion_mnist": "t-shirt trouser pullover dress coat sandal shirt sneaker bag ankle_boot",
    "cifar10": "airplane automobile bird cat deer dog frog horse ship truck",
    "cifar100": """
        apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus
        butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch
        crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo
        keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain
        mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain
        plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk
        skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone
        television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman
        worm""",
}
# Where Keras looks for them below its folder, before it downloads them.
KEPT = {
    "fashion_mnist": "train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz and the two t10k "
    "files in datasets/fashion-mnist",
    "cifar10": "cifar-10-python.tar.gz as datasets/cifar-10-batches-py-target_archive",
    "cifar100": "cifar-100-python.tar.gz as datasets/cifar-100-python-target_archive",
}
IDX_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def read(
    path: str | Path, labels: bool, image_size: int | None = None, grey: bool = False
) -> tuple[np.ndarray, np.ndarray | None]:
    """Read images, and their labels where a GAN asks for them.

    Args:
        path: a folder of pictures, or a .zip of one, whose sub-folders are the classes; an .npz; an
            IDX file of images with its labels beside it; or a key of NAMED.
        image_size, grey: of pictures, as `fitted` takes them; arrays come as they are.

    Returns:
        Pictures: uint8 (N, side, side, 1 or 3), and their folders' names (N,). Arrays: whatever the
        file holds.

    Raises:
        UserError: nothing of this is there, or it can't be read.
    """
    path = Path(path)
    if not path.exists():
        if str(path) in KEPT:
            return read_named(str(path))
        raise UserError(
            f"there is no {path}: give a folder of pictures, a .zip of one, an .npz, an IDX file, "
            f"or a name: {', '.join(NAMED)}"
        )
    if path.is_dir():
        names = glob.glob("**", root_dir=path, recursive=True)  # none that is hidden
        names = [name for name in names if (path / name).is_file()]
        return read_pictures(
            path, names, lambda name: open(path / name, "rb"), labels, image_size, grey
        )
    kinds = ".npz", ".zip", "-ubyte", "-ubyte.gz"
    with reading(path, kinds, "images and labels" if labels else "images"):
        if path.suffix == ".npz":
            return read_npz(path, labels)
        if path.suffix == ".zip":
            with ZipFile(path) as archive:
                names = [name for name in archive.namelist() if not name.endswith("/")]
                return read_pictures(path, names, archive.open, labels, image_size, grey)
        return read_idx(path), read_idx_labels(path) if labels else None


def read_pictures(
    path: Path,
    names: list[str],
    opened: Callable[[str], BinaryIO],
    labels: bool,
    image_size: int | None,
    grey: bool,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Read the pictures of a folder or a zip; name what can't be read, and leave it out.

    Args:
        names: of the files, below `path`.
        opened: opens one.
    """
    files = sorted(PurePath(name) for name in names)
    files = [
        file
        for file in files
        if not any(part.startswith(".") or part in LITTER for part in file.parts)
    ]
    above = len(os.path.commonprefix([file.parts[:-1] for file in files]))
    folders = {file.parts[above] for file in files if len(file.parts) > above + 1}
    if len(folders) > 1 and folders <= SPLITS:
        raise UserError(
            f"{path} holds {', '.join(sorted(folders))}, which are no classes: give one of them "
            "(unpacked), which holds a folder for each class"
        )
    if labels and not folders:
        raise UserError(
            f"{path} has no sub-folders, one for each class: sort its pictures into some, or train "
            "a GAN that needs no classes, as dcgan-mnist.py, without scores"
        )

    def picture(file: PurePath) -> np.ndarray | str:
        if labels and len(file.parts) == above + 1:
            return "in no sub-folder"
        try:
            with opened(file.as_posix()) as content, Image.open(content, formats=FORMATS) as image:
                return fitted(image, image_size, grey)
        except UnidentifiedImageError:
            return "no picture"
        except Exception as error:  # noqa: BLE001  (there is no end to what a file can hold)
            return str(error) or type(error).__name__

    x, kept, left_out = None, [], []
    pool = ThreadPoolExecutor()  # Pillow decodes and resizes side by side
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, of each picture's oddities
            results = progress(pool.map(picture, files), len(files))
            for file, pixels in zip(files, results, strict=True):
                if isinstance(pixels, str):
                    left_out.append(f"{file} ({pixels})")
                    continue
                if x is None:
                    check_size(len(files), *pixels.shape, f"{path / file} is")
                    x = np.empty((len(files), *pixels.shape), np.uint8)
                if pixels.shape != x.shape[1:]:
                    raise UserError(
                        f"{path / kept[0]} is {size(*x.shape[1:3])}, {file} {size(*pixels.shape[:2])}"
                        f": add --image-size={usual_side(*x.shape[1:3], *pixels.shape[:2])}"
                    )
                x[len(kept)] = pixels
                kept.append(file)
    finally:
        pool.shutdown(cancel_futures=True)
    if left_out:
        more = f" and {len(left_out) - 10:,} more" if len(left_out) > 10 else ""
        print(f"left out: {', '.join(left_out[:10])}{more}", flush=True)
    if x is None:
        raise UserError(f"{path} holds no pictures: give a folder of PNG or JPEG files")
    x = x[: len(kept)]
    if not (x != x[..., :1]).any():  # grey pictures
        x = x[..., :1].copy()
    return x, np.array([file.parts[above] for file in kept]) if labels else None


def progress(results, total: int, what: str = "reading"):
    """Yield results behind a bar, where there is a terminal."""
    from rich.console import Console
    from rich.progress import track

    yield from track(results, what, total, disable=not Console().is_terminal, transient=True)


def fitted(image: Image.Image, image_size: int | None = None, grey: bool = False) -> np.ndarray:
    """Return a picture as pixels: upright, of eight bits, what is transparent on white.

    Args:
        image: of any mode, but for floats.
        image_size: crop the middle to a square, and resize that with antialiasing to this side;
            without, the size stays.
        grey: leave out the colour.

    Returns:
        uint8 (height, width, 1 if grey else 3).
    """
    if image_size:
        image.draft(None, (2 * image_size, 2 * image_size))  # a JPEG is decoded that small
    image = ImageOps.exif_transpose(image)
    if image.mode == "F":
        raise ValueError("floats, whose white can't be told")
    if image.mode.startswith("I"):  # Pillow would clip 16 bits to 255
        image = Image.fromarray((np.asarray(image) // 256).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("L" if grey else "RGB")
    if image_size:
        image = ImageOps.fit(image, (image_size, image_size))
    return np.atleast_3d(np.asarray(image))


def size(height: int, width: int) -> str:
    """Say how large a picture is."""
    return f"{width} x {height}"


def usual_side(*sides: int) -> int:
    """Return the side to resize images to: what the smallest has, but at most 64, as GANs do."""
    return min(64, max(4, min(sides) // 4 * 4))


def check_size(count: int, height: int, width: int, channels: int, found: str) -> None:
    """Refuse images that the networks or the memory can't take, with the size that they can.

    Raises:
        UserError: they aren't square, of a side divisible by 4 up to MAX_SIDE; or too many.
    """
    if height != width or height % 4 or not 4 <= height <= MAX_SIDE:
        raise UserError(
            f"{found} {size(height, width)}: images must be square, their side divisible by 4, up "
            f"to {MAX_SIDE}: add --image-size={usual_side(height, width)}"
        )
    if count * height * width * channels > MAX_BYTES:
        side = max(4, math.isqrt(MAX_BYTES // count // channels) // 4 * 4)
        raise UserError(
            f"{count:,} images of {size(height, width)} take more than {MAX_BYTES / 2**30:g} GiB: "
            f"add --image-size={side}"
        )


def read_named(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Read the training images of a data set of Keras, and the names of their classes (N,).

    Raises:
        UserError: it isn't there, and can't be downloaded.
    """
    from lib.plumbing.tf import keras  # here: this module alone needs no TensorFlow

    try:
        (x_train, y_train), _ = getattr(keras.datasets, name).load_data()
    except Exception as error:
        home = os.environ.get("KERAS_HOME", Path("~", ".keras"))
        raise UserError(
            f"{name} can't be downloaded ({error}): connect to the internet, or put {KEPT[name]} "
            f"below {home}"
        ) from error
    return x_train, np.array(NAMED[name].split())[y_train.reshape(-1)]


def read_idx(path: Path) -> np.ndarray:
    """Read an IDX file, as MNIST comes in, compressed or not; turn EMNIST's images upright."""
    with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
        kind, ndim = struct.unpack(">2xBB", file.read(4))
        shape = struct.unpack(f">{ndim}I", file.read(4 * ndim))
        dtype = np.dtype(IDX_TYPES[kind])
        if math.prod(shape) * dtype.itemsize > MAX_BYTES:
            raise ValueError(f"it holds more than {MAX_BYTES:,} bytes")
        array = np.frombuffer(file.read(math.prod(shape) * dtype.itemsize), dtype).reshape(shape)
    return array.swapaxes(1, 2) if "emnist" in path.name.lower() and ndim == 3 else array


def read_idx_labels(path: Path) -> np.ndarray:
    """Read the labels beside an IDX file of images; of QMNIST's eight columns the first."""
    name = path.name.partition("idx3")[0].replace("images", "labels")
    beside = sorted(path.parent.glob(f"{glob.escape(name)}idx*"))
    if not beside or beside[0] == path:
        raise UserError(f"{path} has no labels beside it: put {name}idx1-ubyte.gz there")
    labels = read_idx(beside[0])
    return labels if labels.ndim == 1 else labels[:, 0]


def read_npz(path: Path, labels: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """Read arrays of an npz; nothing is unpickled, as that would run code from the file."""
    with ZipFile(path) as archive:
        found = {
            info.filename[:-4]: array_header(archive, info.filename)
            for info in archive.infolist()
            if info.filename.endswith(".npy")
        }
        sizes = {info.filename[:-4]: info.file_size for info in archive.infolist()}
    pairs = [pair[: 1 + labels] for pair in ARRAYS]
    names = next((pair for pair in pairs if found.keys() >= {*pair}), None)
    if names is None:
        raise UserError(other_names(path, found, pairs[0]))
    for name, plain in zip(
        names, ("np.array(x_train.tolist())", "y_train.astype(str)"), strict=False
    ):
        if found[name][1].hasobject:
            raise UserError(
                f"{path}: {name} is pickled, as it is an array of Python objects, and reading that "
                f"could run code: save {plain} instead"
            )
    if (total := sum(sizes[name] for name in names)) > MAX_BYTES:
        raise UserError(f"{path} holds {total:,} bytes: give up to {MAX_BYTES:,}")
    with np.load(path, allow_pickle=False) as arrays:
        return arrays[names[0]], arrays[names[1]] if labels else None


def array_header(archive: ZipFile, name: str) -> tuple[tuple[int, ...], np.dtype]:
    """Return shape and type of an array in an npz."""
    with archive.open(name) as file:
        old = np.lib.format.read_magic(file) == (1, 0)
        read_header = getattr(np.lib.format, f"read_array_header_{1 if old else 2}_0")
        shape, _, dtype = read_header(file)
    return shape, dtype


def other_names(path: Path, found: dict, wanted: tuple[str, ...]) -> str:
    """Say how to write an npz again under the names that are wanted; guess no array's meaning."""
    told = f"{path} has no {' and no '.join(wanted)}, but {', '.join(found) or 'nothing'}: "
    images = [name for name, (shape, _) in found.items() if len(shape) in (3, 4)]
    if "x_train" in found:
        images = ["x_train"]
    count = found[images[0]][0][0] if images else 0
    labels = [name for name, (shape, _) in found.items() if shape in ((count,), (count, 1))]
    if len(images) > 1 or len(wanted) > 1 and len(labels) > 1:
        return told + f"write another, in which these are called {' and '.join(wanted)}"
    if len(wanted) > 1 and images and not labels:
        return (
            told
            + "without labels only a GAN that needs none trains, as dcgan-mnist.py, and none is scored"
        )
    if not images:
        return told + "give one with images, (N, height, width) or (N, height, width, 3)"
    new = ", ".join(f'{w}=f["{n}"]' for w, n in zip(wanted, images + labels, strict=False))
    return told + f'write another, as by f = np.load("{path.name}"); np.savez("own.npz", {new})'
