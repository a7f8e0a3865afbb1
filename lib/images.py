"""Images as people have them: folders and zips of pictures, npz, IDX, Keras's data sets by name."""

import glob
import gzip
import math
import os
import struct
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePath
from zipfile import ZipFile

from lib.plumbing.errors import UserError
from lib.plumbing.files import reading

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from rich.console import Console
from rich.progress import Progress

MAX_SIDE = 256
MAX_BYTES = 2**32
# No others: Pillow has PostScript run by Ghostscript.
FORMATS = "PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF"
# What systems leave in folders; hidden files aside.
LITTER = {"Thumbs.db", "desktop.ini", "__MACOSX"}
SPLITS = {"train", "training", "test", "testing", "val", "valid", "validation"}
# What the arrays of an npz are called: by Keras, by MedMNIST.
ARRAYS = ("x_train", "y_train"), ("train_images", "train_labels")
PLAIN = "np.array(x_train.tolist())", "y_train.astype(str)"  # what isn't pickled
IDX_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
# The data sets that Keras downloads: their classes in the order of the labels.
CLASSES = {
    "fashion_mnist": "t-shirt trouser pullover dress coat sandal shirt sneaker bag ankle_boot",
    "cifar10": "airplane automobile bird cat deer dog frog horse ship truck",
    "cifar100": """apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge
bus butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab
crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard
lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom
oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider
squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train trout
tulip turtle wardrobe whale willow_tree wolf woman worm""",
}
# Where Keras looks for them before it downloads them.
KEPT = {
    "fashion_mnist": "fashion-mnist/{train,t10k}-{images-idx3,labels-idx1}-ubyte.gz",
    "cifar10": "cifar-10-batches-py-target_archive, which is cifar-10-python.tar.gz",
    "cifar100": "cifar-100-python-target_archive, which is cifar-100-python.tar.gz",
}


def read(
    path: str | Path, labels: bool, image_size: int | None = None, grey: bool = False
) -> tuple[np.ndarray, np.ndarray | None]:
    """Read images, and their labels where a GAN asks for them.

    Args:
        path: a folder of pictures, or a .zip of one, whose sub-folders are the classes; an .npz; an
            IDX file of images with its labels beside it; or a key of CLASSES.
        image_size, grey: of pictures, as `fitted` takes them; arrays come as they are.

    Returns:
        Pictures: uint8 (N, side, side, 1 or 3), and their folders' names (N,). Arrays: whatever the
        file holds.

    Raises:
        UserError: nothing of this is there, or it can't be read.
    """
    path = Path(path)
    if str(path) in CLASSES and not path.exists():
        return read_named(str(path))
    if not path.exists():
        raise UserError(
            f"there is no {path}: give a folder of pictures, a .zip of one, an .npz, an IDX file, "
            f"or a name: mnist, {', '.join(CLASSES)}"
        )
    if path.is_dir():
        names = glob.glob("**", root_dir=path, recursive=True)  # none that is hidden
        names = [name for name in names if (path / name).is_file()]
        return read_pictures(path, names, path.joinpath, labels, image_size, grey)
    kinds = ".npz", ".zip", "-ubyte", "-ubyte.gz"
    with reading(path, kinds, "images and labels" if labels else "images"):
        if path.suffix == ".npz":
            return read_npz(path, labels)
        if path.suffix == ".zip":
            with ZipFile(path) as archive:
                names = [name for name in archive.namelist() if not name.endswith("/")]
                return read_pictures(path, names, archive.open, labels, image_size, grey)
        return read_idx(path), read_idx_labels(path) if labels else None


def read_pictures(path: Path, names: list[str], opened, labels: bool, image_size, grey):
    """Read the pictures `names` below `path`, as `read`; name what can't be read, and leave it out.

    `opened` opens one of them.
    """
    names = {PurePath(name): name for name in names}  # a zip may call one ./a.png
    files = [file for file in sorted(names) if not is_litter(file)]
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
            with Image.open(opened(names[file]), formats=FORMATS) as image:
                return fitted(image, image_size, grey)
        except UnidentifiedImageError:
            return "no picture"
        except Exception as error:  # noqa: BLE001  (there is no end to what a file can hold)
            return str(error) or type(error).__name__

    x, kept, left_out, colour = None, [], [], False
    pool = ThreadPoolExecutor()  # Pillow decodes and resizes side by side
    try:
        with warnings.catch_warnings(), progress_bar() as bar:
            warnings.simplefilter("ignore")  # Pillow's, of each picture's oddities
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            found = zip(files, pool.map(picture, files), strict=True)
            for file, pixels in bar.track(found, len(files), description="reading"):
                if isinstance(pixels, str):
                    left_out.append(f"{file} ({pixels})")
                    continue
                if x is None:
                    check_size(len(files), *pixels.shape, f"{path / file} is")
                    x = np.empty((len(files), *pixels.shape), np.uint8)
                if pixels.shape != x.shape[1:]:
                    raise UserError(
                        f"{path / kept[0]} is {x.shape[2]} x {x.shape[1]}, {file} {pixels.shape[1]}"
                        f" x {pixels.shape[0]}: add --image-size="
                        f"{usual_side(*x.shape[1:3], *pixels.shape[:2])}, which makes them one size"
                    )
                x[len(kept)] = pixels
                colour = colour or bool(np.ptp(pixels, axis=2).any())
                kept.append(file)
    finally:
        pool.shutdown(cancel_futures=True)
    if left_out:
        more = f" and {len(left_out) - 10:,} more" if len(left_out) > 10 else ""
        print(f"left out: {', '.join(left_out[:10])}{more}", flush=True)
    if x is None:
        raise UserError(f"{path} holds no pictures: give a folder of PNG or JPEG files")
    x = x[: len(kept)] if colour else x[: len(kept), ..., :1].copy()
    return x, np.array([file.parts[above] for file in kept]) if labels else None


def is_litter(file: PurePath) -> bool:
    """Return whether a system left the file there."""
    return any(part.startswith(".") or part in LITTER for part in file.parts)


def progress_bar() -> Progress:
    """Return a bar that shows on a terminal alone, while its context lasts."""
    return Progress(transient=True, disable=not Console().is_terminal)


def fitted(image: Image.Image, image_size: int | None = None, grey: bool = False) -> np.ndarray:
    """Return a picture as pixels: upright, of eight bits, what is transparent on white.

    Args:
        image: of any mode, but for floats.
        image_size: crop the middle to a square, and resize that with antialiasing to this side.

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
            f"{found} {width} x {height}: images must be square, their side divisible by 4, up to "
            f"{MAX_SIDE}: add --image-size={usual_side(height, width)}"
        )
    if count * height * width * channels > MAX_BYTES:
        side = max(4, math.isqrt(MAX_BYTES // count // channels) // 4 * 4)
        raise UserError(
            f"{count:,} images of {width} x {height} take more than {MAX_BYTES / 2**30:g} GiB: add "
            f"--image-size={side}"
        )


def read_named(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Read a data set of Keras, its labels as names; raise a UserError without the internet."""
    from lib.plumbing.tf import keras  # here: this module needs no TensorFlow

    try:
        (x_train, y_train), _ = getattr(keras.datasets, name).load_data()
    except Exception as error:
        place = Path(os.environ.get("KERAS_HOME", "~/.keras"), "datasets")
        raise UserError(
            f"{name} can't be downloaded ({error}): connect to the internet, or get by another way "
            f"{place}{os.sep}{KEPT[name]}"
        ) from error
    return x_train, np.array(CLASSES[name].split())[y_train.reshape(-1)]


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
        size = sum(info.file_size for info in archive.infolist())
    if size > MAX_BYTES:
        raise UserError(f"{path} holds {size:,} bytes: give up to {MAX_BYTES:,}")
    pairs = [pair[: 1 + labels] for pair in ARRAYS]
    with np.load(path, allow_pickle=False) as arrays:
        names = next((pair for pair in pairs if {*arrays} >= {*pair}), None)
        if names is None:
            shapes = {name: arrays[name].shape for name in arrays}
            raise UserError(f"{path} {other_names(path.name, shapes, pairs[0])}")
        found = []
        for name, plain in zip(names, PLAIN, strict=False):
            try:
                found.append(arrays[name])
            except ValueError as error:
                if "pickle" not in str(error):
                    raise
                raise UserError(
                    f"{path}: {name} is pickled, as it is of Python objects, and reading that could "
                    f"run code: save {plain} instead"
                ) from error
    return found[0], found[1] if labels else None


def other_names(file: str, shapes: dict[str, tuple], wanted: tuple[str, ...]) -> str:
    """Say how an npz must name its arrays; give the code where it can be only one."""
    missing = " and no ".join(name for name in wanted if name not in shapes)
    told = (
        f"has no {missing}, but {', '.join(shapes) or 'nothing'}: write another, in which images "
        "are called x_train and, for some GANs and all scores, labels y_train"
    )
    images = [name for name, shape in shapes.items() if len(shape) in (3, 4)]
    labels = [name for name in shapes if name not in images]
    if len(images) == len(labels) == 1:
        arrays = f'x_train=f["{images[0]}"], y_train=f["{labels[0]}"]'
        told += f', as by f = np.load("{file}"); np.savez("own.npz", {arrays})'
    return told
