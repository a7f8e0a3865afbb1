"""The data set, images as people have them, and what the training steps draw from them."""

import gzip
import json
import pickle
import re
import shutil
import struct
import zipfile
from pathlib import Path

from lib import data, gan, images
from lib.generator import Generator
from lib.plumbing.errors import UserError
from lib.sampling import use

import numpy as np
import pytest
import tensorflow as tf
from helpers import TOY_IMAGES, main, toy_models, toy_params
from PIL import Image, ImageOps
from tensorflow import keras

GREYS = np.arange(256, dtype=np.uint8).reshape(256, 1, 1, 1)  # an image of each


def sampler(x_train=GREYS, y_train=None, batch_size=64):
    params = toy_params("", seed=3, batch_size=batch_size, latent_size=100)
    return data.Sampler(params, data.Dataset(x_train, y_train))


def test_mnist(mnist):
    x_train, y_train, classes, source = mnist
    assert (classes, source) == ([*range(10)], None)
    assert x_train.shape == (60000, 28, 28, 1)
    assert x_train.dtype == np.uint8
    assert y_train.dtype == np.float32
    # the counts of the original label file
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert y_train.sum(axis=0).tolist() == counts
    assert y_train[:5].argmax(axis=1).tolist() == [5, 0, 4, 1, 9]
    np.testing.assert_allclose(x_train.mean() / 255, 0.1307, atol=1e-4)
    assert "MNIST, 28 x 28 in grey, 10 classes of 5,421 to 6,742: 0 5,923" in mnist.description
    x_test, y_test = data.load_test()
    assert y_test.sum(axis=0).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    np.testing.assert_allclose(x_test.mean() / 255, 0.1325, atol=1e-4)


def test_damaged_mnist_is_refused(tmp_path, monkeypatch):
    copy = tmp_path / "mnist.npz"
    shutil.copy(data.MNIST, copy)
    with open(copy, "r+b") as file:
        file.seek(1000)
        file.write(b"\0")
    monkeypatch.setattr(data, "MNIST", copy)
    for load in data.load, data.load_test:
        with pytest.raises(UserError, match="damaged"):
            load()


def test_images_are_drawn_uniformly_with_replacement_and_with_their_labels():
    drawn, labels = sampler(GREYS, np.eye(256), 4096).labelled_images()
    assert drawn.dtype == tf.float32
    greys, counts = np.unique(drawn, return_counts=True)
    np.testing.assert_allclose(greys, np.arange(256) / 255, rtol=1e-6)
    assert counts.min() >= 3  # 16 expected
    assert counts.max() <= 40
    np.testing.assert_array_equal(np.round(drawn[:, 0, 0, 0] * 255), labels.numpy().argmax(1))
    # the chapter's float images are drawn as they are
    floats = GREYS.astype("float32") / 255
    np.testing.assert_allclose(sampler(floats).images(), sampler().images(), rtol=1e-6)


def test_noise_and_labels_are_uniform():
    draw = sampler(GREYS[:10], np.eye(10), batch_size=10_000)
    noise = draw.noise(1000).numpy()
    assert noise.shape == (1000, 100)
    assert noise.dtype == np.float32
    counts, _ = np.histogram(noise, bins=10, range=(-1, 1))
    assert counts.sum() == noise.size
    np.testing.assert_allclose(counts, 10_000, rtol=0.05)
    labels = draw.labels().numpy()
    assert np.unique(labels).tolist() == [0, 1]
    np.testing.assert_array_equal(labels.sum(axis=1), 1)
    np.testing.assert_allclose(labels.sum(axis=0), 1000, rtol=0.15)


def test_compiled_draws_differ_from_step_to_step_and_repeat_with_the_seed():
    def batches():
        draw = sampler(GREYS[:10], np.eye(10))
        step = tf.function(lambda: (draw.images(), draw.noise(), draw.labels()))
        return step(), step()

    first, second = batches()
    again, _ = batches()
    for one, two, same in zip(first, second, again, strict=True):
        assert (one.numpy() != two.numpy()).any()
        np.testing.assert_array_equal(one, same)


# Four grey squares in one of 16 x 16: no turn or reflection leaves it as it is.
CORNERS = np.array([[0, 80], [160, 255]], np.uint8)
SHOWN = np.kron(CORNERS, np.ones((8, 8), np.uint8))
GREY = Image.fromarray(SHOWN)
COLOUR = Image.fromarray(np.stack([SHOWN, SHOWN, 0 * SHOWN], axis=2))  # a yellow one
ARRAY = np.stack([SHOWN] * 3)


def transparent(mode):
    """Return the picture with white as a hole."""
    return Image.merge(mode, [*GREY.convert(mode[:-1]).split(), Image.fromarray(255 - SHOWN)])


def saved_as(name, image=GREY, **options):
    def write(folder):
        image.save(folder / name, **options)
        return folder

    return write


def turned(folder):
    """Write it as a camera does that was held on its side."""
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by 90 degrees
    GREY.transpose(Image.Transpose.ROTATE_90).save(folder / "a.jpg", exif=exif, quality=95)
    return folder


def zipped(folder):
    (folder / "pictures").mkdir()
    GREY.save(folder / "pictures" / "a.png")
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.write(folder / "pictures" / "a.png", "pictures/a.png")
    return folder / "a.zip"


def npz(**arrays):
    def write(folder):
        np.savez(folder / "a.npz", **arrays)
        return folder / "a.npz"

    return write


def idx(name, array=ARRAY):
    def write(folder):
        opened = gzip.open if name.endswith(".gz") else open
        with opened(folder / name, "wb") as file:
            file.write(struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape))
            file.write(array.astype(np.uint8).tobytes())
        return folder / name

    return write


ADAPTIVE = Image.Palette.ADAPTIVE
KINDS = {
    "PNG": saved_as("a.png"),
    "in colour": saved_as("a.png", COLOUR),
    "palette": saved_as("a.png", GREY.convert("P", palette=ADAPTIVE)),
    "16 bits": saved_as("a.png", Image.fromarray(SHOWN * np.uint16(257))),
    "alpha of grey": saved_as("a.png", Image.merge("LA", [GREY, GREY.point(lambda _: 255)])),
    "JPEG": saved_as("a.jpg", quality=95),
    "JPEG in CMYK": saved_as("a.jpeg", GREY.convert("CMYK"), quality=95),
    "turned by EXIF": turned,
    "GIF": saved_as("a.GIF"),
    "BMP": saved_as("a.bmp"),
    "WebP": saved_as("a.webp", lossless=True),
    "TIFF": saved_as("a.tif"),
    "zip": zipped,
    "IDX": idx("train-images.idx3-ubyte"),
    "IDX, packed": idx("train-images-idx3-ubyte.gz"),
    "EMNIST": idx("emnist-letters-train-images-idx3-ubyte.gz", ARRAY.swapaxes(1, 2)),
    "npz": npz(x_train=ARRAY),
    "MedMNIST": npz(train_images=ARRAY, val_images=ARRAY[:1], train_labels=np.arange(3)),
    "one channel": npz(x_train=ARRAY[..., np.newaxis]),
    "int64": npz(x_train=ARRAY.astype(int)),
    "floats": npz(x_train=ARRAY / 255),
    "float32, rounded": npz(x_train=ARRAY.astype("f4") / 255 + np.float32(1e-6)),
    "column-major": npz(x_train=np.asfortranarray(ARRAY)),
    "colour": npz(x_train=np.stack([ARRAY, ARRAY, 0 * ARRAY], axis=3)),
    "floats with alpha, in colour": npz(
        x_train=np.stack([ARRAY, ARRAY, 0 * ARRAY, 0 * ARRAY + 255], axis=3) / 255
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_pictures_show(kind, tmp_path):
    """Each corner is as bright as it is, and where it is, whatever size is asked for."""
    path = KINDS[kind](tmp_path)
    for side, image_size in (16, None), (8, 8), (32, 32):
        found = data.load(path, image_size, labels=False)
        assert found.image_shape == (side, side, 3 if "colour" in kind else 1)
        unit = 255 if found.x_train.dtype == np.uint8 else 1
        seen = found.x_train[0, side // 4 :: side // 2, side // 4 :: side // 2] / unit
        for channel in range(found.channels):
            np.testing.assert_allclose(seen[..., channel], CORNERS / 255 * (channel < 2), atol=0.02)
    assert data.load(path, 8, grey=True, labels=False).channels == 1


def test_whatever_is_transparent_lies_on_white(tmp_path):
    for name, image in ("a.png", transparent("RGBA")), ("b.png", transparent("LA")):
        image.save(tmp_path / name)
    GREY.convert("P").save(tmp_path / "c.png", transparency=0)
    a, b, c = data.load(tmp_path, labels=False).x_train[:, 4::8, 4::8, 0].astype(int)
    alpha = 1 - CORNERS / 255
    blended = alpha * CORNERS + (1 - alpha) * 255
    np.testing.assert_allclose(a, blended, atol=2)
    np.testing.assert_allclose(b, blended, atol=2)
    assert c[0, 0] == 255
    floats = np.asarray(transparent("RGBA"))[np.newaxis] / 255  # as plt.imread reads a PNG
    np.testing.assert_allclose(data.dataset(floats).x_train[0, 4::8, 4::8, 0], blended, atol=2)


def test_the_middle_of_a_wide_picture(tmp_path):
    """Crops what is beyond the square; a large JPEG too, which is decoded at a smaller scale."""
    wide = ImageOps.expand(GREY.resize((800, 800), Image.Resampling.NEAREST), (300, 0))
    wide.save(tmp_path / "a.jpg")
    wide.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "b.png")
    with pytest.raises(UserError, match=r"1400 x 800.*add --image-size=64"):
        data.load(tmp_path, labels=False)
    a, b = data.load(tmp_path, 64, labels=False).x_train[:, 16::32, 16::32, 0].astype(int)
    np.testing.assert_allclose(a, CORNERS, atol=4)
    np.testing.assert_allclose(b, np.rot90(CORNERS), atol=4)
    found = data.dataset(np.asarray(wide)[np.newaxis], image_size=64)
    np.testing.assert_allclose(found.x_train[0, 16::32, 16::32, 0], a, atol=4)


BLACK_AND_WHITE = {  # what they are in each array
    "digits of scikit-learn": (np.rint(ARRAY / 255 * 16), 0, 16),
    "whole digits of 16 bits": (ARRAY.astype(np.uint16) * 257, 0, 65535),
    "0 to 255": (ARRAY.astype(np.float32), 0, 255),
    "neither black nor white": (ARRAY * 0.7 + 30, 0, 255),
    "one grey": (np.full((3, 8, 8), 200.0), 0, 255),
    "a tanh's": (ARRAY / 127.5 - 1, -1, 1),
    "bicubic": (ARRAY / 255 * 1.3 - 0.13, 0, 1),
    "standardized": ((ARRAY / 255 - 0.5) / 0.2, -2.5, 2.5),
    "signed bytes": ((ARRAY.astype(int) - 128).astype(np.int8), -128, 127),
    "wider than a byte": (ARRAY.astype(int) * 3 - 20, -20, 745),
    "12 bits": (ARRAY.astype(np.uint16) * 16, 0, 4080),
}


def advised(array):
    """Return what refuses the array, and what the advised expression makes of it."""
    with pytest.raises(UserError, match="x_train is") as raised:
        data.dataset(array)
    words = str(raised.value)
    expression = re.search(r"give (.+)$", words)[1]
    return words, data.dataset(eval(expression, {"np": np, "x_train": array}))


@pytest.mark.parametrize("name", BLACK_AND_WHITE)
def test_advice_on_values_gives_the_same_picture(name):
    """The advice names the likeliest black and white, and following it gives the picture."""
    array, *right = BLACK_AND_WHITE[name]
    words, found = advised(array)
    assert f"from {array.min():.6g} to {array.max():.6g}: " in words
    black, white = map(float, re.search(r"If black is (\S+) and white (\S+), ", words).groups())
    np.testing.assert_allclose([black, white], right, rtol=1e-5)
    shown = ((array.astype(float) - black) / (white - black)).clip(0, 1)
    np.testing.assert_allclose(found.x_train[..., 0], shown, atol=0.003)


@pytest.mark.parametrize(
    "array",
    [
        ARRAY.reshape(3, 256),
        np.stack([ARRAY] * 3, axis=1),
        np.where(ARRAY == 255, np.nan, ARRAY / 255),
        np.where(ARRAY == 255, np.inf, ARRAY / 255),
        np.pad(ARRAY, ((0, 0), (1, 1), (1, 1))),
        np.pad(ARRAY[..., np.newaxis], ((0, 0), (1, 2), (1, 2), (0, 0))),
    ],
)
def test_advice_on_shapes_gives_the_same_picture(array):
    found = advised(array)[1]
    margin = (found.image_size - 16) // 2
    seen = found.x_train[0, margin + 4 :: 8, margin + 4 :: 8, 0][:2, :2]
    seen = seen / (255 if seen.dtype == np.uint8 else 1)
    known = np.isfinite(array).all() | (CORNERS != 255)  # white is no number in some
    np.testing.assert_allclose(seen, np.where(known, CORNERS / 255, seen), atol=0.003)


@pytest.mark.parametrize(
    "x_train, words",
    [
        (ARRAY[0], "must be"),
        (ARRAY[:0], "no images in it"),
        (np.zeros((0, 32, 32)), "no images in it"),
        (np.zeros((2, 3, 8, 8, 1)), "must be"),
        (np.full((2, 8, 8), "a"), "whole numbers"),
        (np.zeros((2, 260, 260), np.uint8), "--image-size=64"),
        (ARRAY[:, :8], "--image-size=8"),
        (ARRAY[:, :3, :3], "--image-size=4"),
    ],
)
def test_unfit_images_are_refused(x_train, words):
    with pytest.raises(UserError, match="x_train is") as raised:
        data.dataset(x_train)
    assert words in str(raised.value)
    if side := re.search(r"--image-size=(\d+)", words):
        assert data.dataset(x_train, image_size=int(side[1])).image_size == int(side[1])


def test_dark_images_are_told(capsys):
    data.dataset(np.minimum(ARRAY, 16))
    told = capsys.readouterr().out
    assert "warning: an array is nearly black or all one grey, 0.00 to 0.06 of white" in told
    expression = re.search(r"give (.+)$", told)[1]
    data.dataset(eval(expression, {"np": np, "x_train": np.minimum(ARRAY, 16)}))
    data.dataset(ARRAY > 0)
    data.dataset((ARRAY > 0).astype(int))
    assert capsys.readouterr().out == ""
    data.dataset(np.full((3, 8, 8), 200))
    assert "0.78 to 0.78" in capsys.readouterr().out


@pytest.mark.parametrize(
    "y_train, classes, columns",
    [
        ([0, 1, 2, 0, 1, 2], [0, 1, 2], [0, 1, 2, 0, 1, 2]),
        ([1, 26, 1, 3, 3, 26], [1, 3, 26], [0, 2, 0, 1, 1, 2]),  # EMNIST's letters begin at 1
        ([[5], [-5], [5], [5], [5], [5]], [-5, 5], [1, 0, 1, 1, 1, 1]),
        (["b", "a", "b", "b", "b", "c"], ["a", "b", "c"], [1, 0, 1, 1, 1, 2]),
        (np.eye(3)[[2, 0, 1, 1, 1, 1]], [0, 1, 2], [2, 0, 1, 1, 1, 1]),
        (np.array([1.0, 2, 1, 2, 1, 2]), [1, 2], [0, 1, 0, 1, 0, 1]),
        ([True, False] * 3, [False, True], [1, 0] * 3),
        (np.array(["b", "a"] * 3, object), ["a", "b"], [1, 0] * 3),  # as pandas has them
        ([b"b", b"a"] * 3, ["a", "b"], [1, 0] * 3),
    ],
)
def test_labels_as_people_have_them(y_train, classes, columns):
    found = data.dataset(np.repeat(ARRAY, 2, axis=0), np.asarray(y_train))
    assert found.classes == classes
    np.testing.assert_array_equal(found.y_train, np.eye(len(classes))[columns])
    assert found.y_train.dtype == np.float32


@pytest.mark.parametrize(
    "y_train",
    [
        np.arange(5),
        np.zeros(6),
        np.array([0.5, 1, 2, 3, 4, 5]),
        np.ones((6, 2)),
        np.arange(12).reshape(6, 2),
        np.array([{}] * 6),
    ],
)
def test_unfit_labels_are_refused(y_train):
    with pytest.raises(UserError, match="y_train is"):
        data.dataset(np.repeat(ARRAY, 2, axis=0), y_train)


def test_labels_that_a_gan_needs(tmp_path):
    with pytest.raises(UserError, match="came without labels"):
        data.dataset(ARRAY).num_labels  # noqa: B018
    with pytest.raises(UserError, match="2 to 1,000"):
        data.dataset(np.repeat(ARRAY, 400, axis=0), np.arange(1200))
    np.savez(tmp_path / "a.npz", x_train=ARRAY, y_train=list("aba"), more=np.arange(2))
    found = data.load(tmp_path / "a.npz")
    assert found.description == (
        "3 images of a.npz, 16 x 16 in grey, 2 classes of 1 to 2: a 2, b 1"
    )
    assert data.load(tmp_path / "a.npz", labels=False).y_train is None


@pytest.mark.parametrize(
    "arrays, taken",
    [
        ({"arr_0": ARRAY, "arr_1": [*"aba"]}, True),
        ({"y": [*"aba"], "X": ARRAY}, True),
        ({"x_train": ARRAY, "labels": [[1], [2], [1]]}, True),
        ({"x_train": ARRAY, "labels": [[1], [2], [1]], "test": ARRAY}, False),
        ({"images": ARRAY, "more": ARRAY, "labels": [*"aba"]}, False),
        ({"images": ARRAY, "labels": [*"aba"], "ids": [1, 2, 3]}, False),
        ({"x_train": ARRAY}, False),
        ({"labels": [*"aba"]}, False),
    ],
)
def test_an_npz_of_other_names(arrays, taken, tmp_path, monkeypatch):
    """Is told how to be written again where there is one way to; it is the right one."""
    monkeypatch.chdir(tmp_path)
    np.savez("other.npz", **arrays)
    with pytest.raises(UserError, match="has no .*, but ") as raised:
        data.load("other.npz")
    code = re.search(r"as by (.*)", str(raised.value))
    assert bool(code) == taken
    if taken:
        exec(code[1], {"np": np})  # noqa: S102
        found = data.load("own.npz")
        np.testing.assert_array_equal(found.x_train[..., 0], ARRAY)
        assert found.y_train.argmax(axis=1).tolist() == [0, 1, 0]


def test_nothing_is_unpickled(tmp_path):
    class Trap:
        def __reduce__(self):
            return Path.touch, (tmp_path / "executed",)

    np.savez(tmp_path / "bad.npz", x_train=np.array([Trap()]), y_train=[1])
    with pytest.raises(UserError, match="x_train is pickled"):
        data.load(tmp_path / "bad.npz")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("name", ["x_train", "y_train"])
def test_what_to_save_instead_of_python_objects(name, tmp_path):
    arrays = {"x_train": ARRAY, "y_train": np.array([*"aba"])}
    pickled = arrays | {name: arrays[name].astype(object)}
    np.savez(tmp_path / "a.npz", **pickled)
    with pytest.raises(UserError, match=f"{name} is pickled") as raised:
        data.load(tmp_path / "a.npz")
    fit = eval(re.search(r"save (.+) instead", str(raised.value))[1], {"np": np} | pickled)
    np.savez(tmp_path / "a.npz", **arrays | {name: fit})
    assert data.load(tmp_path / "a.npz").classes == ["a", "b"]


def test_what_takes_too_much_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "MAX_BYTES", 1000)
    np.savez_compressed(tmp_path / "a.npz", x_train=np.zeros((1000, 8, 8), np.uint8))
    with pytest.raises(UserError, match="holds 64,128 bytes: give up to 1,000"):
        data.load(tmp_path / "a.npz", labels=False)
    with pytest.raises(UserError, match="more than 1,000 bytes"):
        data.load(idx("a-images-idx3-ubyte", np.zeros((9, 20, 20)))(tmp_path), labels=False)
    (tmp_path / "pictures").mkdir()
    for number in range(4):
        COLOUR.save(tmp_path / "pictures" / f"{number}.png")
    with pytest.raises(UserError, match="4 images of 16 x 16 take more") as raised:
        data.load(tmp_path / "pictures", labels=False)
    side = int(re.search(r"add --image-size=(\d+)$", str(raised.value))[1])
    assert data.load(tmp_path / "pictures", side, labels=False).image_size == side == 8


@pytest.mark.parametrize(
    "name", ["a.npz", "a.zip", "a-images-idx3-ubyte.gz", "a-images-idx3-ubyte"]
)
def test_unreadable_data_is_refused(name, tmp_path):
    for content in b"", b"no archive", b"PK\3\4 cut off", b"\x1f\x8b\b\0":
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=f"{name} doesn't hold images and labels"):
            data.load(tmp_path / name)


@pytest.fixture
def pets(tmp_path):
    """Return a folder of pictures of two classes, with what else lies in folders."""
    folder = tmp_path / "pets"
    for name, image in ("cat/1.png", GREY), ("cat/big/2.jpg", COLOUR), ("Great Dane/3.gif", GREY):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        image.save(folder / name)
    for name in "cat/.DS_Store", ".git/HEAD", "cat/Thumbs.db":
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("x")
    (folder / "cat" / "notes.txt").write_text("no picture")
    content = (folder / "cat" / "1.png").read_bytes()
    (folder / "cat" / "4.png").write_bytes(content[: len(content) // 2])
    return folder


def packed(folder):
    """Pack a folder as a file manager does: within itself."""
    path = shutil.make_archive(folder, "zip", folder.parent, folder.name)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("__MACOSX/pets/cat/._1.png", "x")
    return path


@pytest.mark.parametrize("kept", [lambda folder: folder, packed])
def test_sub_folders_are_classes(kept, pets, capsys):
    found = data.load(kept(pets))
    assert found.classes == ["Great Dane", "cat"]
    assert found.y_train.argmax(axis=1).tolist() == [0, 1, 1]
    assert found.image_shape == (16, 16, 3)
    told = capsys.readouterr().out
    assert re.fullmatch(r"left out: \S*4.png \(.+\), \S*notes.txt \(no picture\)\n", told)


def test_pictures_without_classes(pets, capsys):
    GREY.save(pets / "stray.png")
    assert len(data.load(pets, labels=False).x_train) == 4
    assert len(data.load(pets).x_train) == 3
    assert "stray.png (in no sub-folder)" in capsys.readouterr().out
    with pytest.raises(UserError, match="cat has no sub-folders, one for each class"):
        shutil.rmtree(pets / "cat" / "big")
        data.load(pets / "cat")


def test_folders_that_are_refused(pets, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty holds no pictures"):
        data.load(tmp_path / "empty", labels=False)
    GREY.resize((20, 20)).save(pets / "cat" / "5.png")
    with pytest.raises(UserError, match=r"3.gif is 16 x 16, .*5.png 20 x 20: add --image-size=16"):
        data.load(pets)
    assert data.load(pets, 16).image_size == 16
    for split in "train", "test":
        shutil.copytree(pets, tmp_path / "split" / split)
    with pytest.raises(UserError, match="holds test, train, which are no classes: give one"):
        data.load(tmp_path / "split", labels=False)
    assert data.load(tmp_path / "split" / "train", 8).classes == ["Great Dane", "cat"]
    with pytest.raises(UserError, match=r"there is no .*pats: give .* fashion_mnist"):
        data.load(tmp_path / "pats")


@pytest.mark.parametrize(
    "labels, name",
    [
        (np.array([1, 0, 1]), "train-labels-idx1-ubyte.gz"),
        (np.array([[1, 7], [0, 7], [1, 7]]), "train-labels-idx2-int.gz"),  # as QMNIST's
    ],
)
def test_labels_of_idx_lie_beside_it(labels, name, tmp_path):
    path = idx("train-images-idx3-ubyte.gz")(tmp_path)
    with pytest.raises(UserError, match="put train-labels-idx1-ubyte.gz there"):
        data.load(path)
    idx(name, labels)(tmp_path)
    assert data.load(path).y_train.argmax(axis=1).tolist() == [1, 0, 1]


def test_data_sets_of_keras(tmp_path, monkeypatch):
    """Keras finds small files in the format of the large ones, or says what to put there."""
    folder = tmp_path / "datasets" / "fashion-mnist"
    folder.mkdir(parents=True)
    for part in "train", "t10k":
        idx(f"{part}-images-idx3-ubyte.gz", np.pad(ARRAY, ((0, 0), (6, 6), (6, 6))))(folder)
        idx(f"{part}-labels-idx1-ubyte.gz", np.array([9, 0, 9]))(folder)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path))  # what it read there
    monkeypatch.setenv("https_proxy", "http://localhost:9")
    assert data.load("fashion_mnist", 32).description == (
        "3 images of fashion_mnist, 32 x 32 in grey, 2 classes of 1 to 2: ankle_boot 2, t-shirt 1"
    )
    with pytest.raises(UserError, match="cifar10 can't be downloaded") as raised:
        data.load("cifar10")
    assert f"{tmp_path}/datasets/cifar-10-batches-py-target_archive" in str(raised.value)


def test_colour_of_cifar(tmp_path, monkeypatch):
    """Reads a small file in CIFAR-100's format, whose rows are red, then green, then blue."""
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    red = np.kron(np.array([[255], [0], [0]], np.uint8), np.ones(1024, np.uint8)).reshape(1, 3072)
    for part in "train", "test":
        content = {b"data": np.repeat(red, 2, axis=0), b"fine_labels": [99, 0]}
        (folder / part).write_bytes(pickle.dumps(content, protocol=3))
    # what Keras has downloaded, it knows by its hash
    monkeypatch.setattr("keras.src.datasets.cifar100.get_file", lambda **_: str(tmp_path))
    found = data.load("cifar100")
    assert found.classes == ["apple", "worm"]
    assert len(images.CLASSES["cifar100"].split()) == 100
    assert found.y_train.argmax(axis=1).tolist() == [1, 0]
    assert np.unique(found.x_train.reshape(-1, 3), axis=0).tolist() == [[255, 0, 0]]


def test_a_folder_in_colour_from_training_to_pictures(pets, tmp_path, monkeypatch, capsys):
    """Trains, draws a class by name, walks; the pictures that it draws can be trained on."""
    monkeypatch.chdir(tmp_path)
    few = ["--batch-size=4", "--latent-size=6", "--train-steps=2", "--seed=1"]
    assert main("acgan", ["--data=pets", "--image-size=8", *few], monkeypatch) == 0
    told = capsys.readouterr().out
    assert "3 images of pets, 8 x 8 in colour, 2 classes of 1 to 2: Great Dane 1, cat 2" in told
    assert Image.open("acgan_pets/real.png").size > (200, 200)
    assert json.loads(Path("acgan_pets/run.json").read_text())["classes"] == ["Great Dane", "cat"]
    with Image.open("acgan_pets/training.gif") as gif:
        assert np.ptp(np.asarray(gif.convert("RGB")).astype(int), axis=2).max() > 0

    for flags, status in (
        (["--digit=great_dane", "--count=1"], 0),
        (["--interpolate", "--seconds=1"], 0),
        (["--npz=drawn.npz", "--count=6"], 0),
        (["--images=drawn", "--count=6"], 0),
        (["--images=drawn", "--count=6"], 2),
    ):
        sample = ["--generator=acgan_pets.h5", "--seed=1", *flags]
        assert main("acgan", sample, monkeypatch) == status
    assert "drawn exists: remove it" in capsys.readouterr().err
    folder, arrays = data.load("drawn"), data.load("drawn.npz")
    assert folder.classes == arrays.classes == ["Great Dane", "cat"]
    order = np.argsort(arrays.y_train.argmax(axis=1), kind="stable")
    np.testing.assert_array_equal(folder.x_train, arrays.x_train[order])


def test_sub_folders_of_drawn_images(tmp_path):
    """No two classes share one, nor is any hidden or in a folder above."""
    model = gan.generator(keras.Input((6,)), 8, labels=keras.Input((4,)))
    generator = Generator(model, classes=["..", "A_b", "a/b", "c"])
    use.write_images(generator, tmp_path / "drawn", generator.inputs(40))
    names = sorted(path.name for path in tmp_path.glob("drawn/*"))
    assert names == ["0__.", "1_A_b", "2_a_b", "3_c"]
    assert len(data.load(tmp_path / "drawn").classes) == 4


def test_a_notebook_trains_on_arrays(tmp_path, monkeypatch):
    """Refuses arrays that don't fit, before anything is written; takes a Dataset too."""
    monkeypatch.chdir(tmp_path)
    models, params = toy_models(), toy_params(tmp_path, train_steps=1)
    for unfit in TOY_IMAGES.astype(float), ARRAY:
        with pytest.raises(UserError):
            gan.train(models, unfit, params)
    assert not any(tmp_path.iterdir())
    gan.train(models, data.dataset(ARRAY, image_size=4), params)
    assert Path("toy.h5").exists()
