"""npz files that hold or claim what they shouldn't: one line, at once."""

import struct
import subprocess
import zipfile

from lib import data

import numpy as np
import pytest
from helpers import archive, npy

IMAGES = npy((6, 4, 4), body=bytes(96))


def change_directory(path, offset, value):
    """Overwrite bytes of the first member's entry in an archive's directory."""
    content = bytearray(path.read_bytes())
    place = content.index(b"PK\1\2") + offset
    content[place : place + len(value)] = value
    path.write_bytes(content)


def put_encrypted(path):
    archive(path)
    change_directory(path, 8, b"\1\0")


def put_unknown_compression(path):
    archive(path)
    change_directory(path, 10, b"\x63\0")


def put_false_size(path):
    archive(path)
    change_directory(path, 20, struct.pack("<II", 2**31, 2**31))


def put_compressed_zeros(path):
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file,
        file.open("x_train.npy", "w") as member,
    ):
        member.write(npy((300_000, 32, 32)))
        for _ in range(300):
            member.write(bytes(32 * 32 * 1000))


def put_holes(path):
    whole = path.with_suffix(".whole")
    archive(whole, npy((300_000, 32, 32), body=bytes(300_000 * 32 * 32)))
    subprocess.run(["cp", "--sparse=always", whole, path], check=True)
    whole.unlink()


def put_cut(path):
    archive(path)
    path.write_bytes(path.read_bytes()[:150])


def put_pickle(path):
    np.savez(path, x_train=np.array([{}, None]))


def put_flipped_bit(path):
    archive(path)
    content = bytearray(path.read_bytes())
    content[150] ^= 1  # in the images
    path.write_bytes(content)


@pytest.mark.parametrize(
    "put, message",
    [
        (put_encrypted, "encrypted"),
        (put_unknown_compression, "is compressed as NumPy doesn't"),
        (
            lambda path: archive(path, compression=zipfile.ZIP_LZMA),
            "is compressed as NumPy doesn't",
        ),
        (put_false_size, "is cut off"),
        (put_cut, "not a zip file"),
        (put_flipped_bit, "Bad CRC-32"),
        (put_holes, "is 307,200,079 bytes out of"),
        (put_compressed_zeros, "is 307,200,079 bytes out of"),
        (put_pickle, "holds Python objects"),
        (lambda path: np.savez(path, y_train=[1]), "no item named 'x_train.npy'"),
        (lambda path: archive(path, b"text, no array"), "magic string"),
        (lambda path: archive(path, b""), "EOF"),
        (lambda path: archive(path, IMAGES[:30]), "EOF"),
        (lambda path: archive(path, IMAGES[:-1]), "claims 168 bytes, and has 167"),
        (lambda path: archive(path, IMAGES + b"\0"), "claims 168 bytes, and has 169"),
        (lambda path: archive(path, b"\x93NUMPY\x02\0" + b"\xff" * 99), "no array of numbers"),
        (lambda path: archive(path, npy((10**12,))), "claims 1,000,000,000,"),
        (lambda path: archive(path, npy((10**400, 4, 4))), "doesn't hold"),
        (lambda path: archive(path, npy((-6, -4, 4), body=bytes(96))), "doesn't hold"),
        (lambda path: archive(path, npy((0, 2**40, 2**40))), "uint8 (0, "),
        (lambda path: archive(path, npy((), header="-" * 9000)), "doesn't hold"),
        (lambda path: archive(path, npy((), header="(" * 9000)), "doesn't hold"),
        (lambda path: archive(path, npy((), header="{" + "'descr': 'u1'}")), "doesn't hold"),
        (lambda path: archive(path, npy((6, 4), "|V2147483647")), "doesn't hold"),
    ],
)
def test_bad_npz_is_one_line(put, message, refusal, tmp_path):
    put(tmp_path / "bad.npz")
    for name in "wgan", "acgan":
        error = refusal(name, "--data=bad.npz")
        assert "bad.npz" in error
        assert message in error


@pytest.mark.parametrize(
    "labels, message",
    [
        (None, "no item named 'y_train.npy'"),
        (npy((6,), "<f4", body=bytes(24)), "float32"),
        (npy((6, 1), body=bytes(6)), "uint8 (6, 1)"),
        (npy((6,), "<m8[s]", body=bytes(48)), "timedelta64"),
        (npy((6,), body=bytes(6)), "the labels"),
        (npy((6,), "<i8", body=struct.pack("<6q", *5 * [0], 10**12)), "the labels"),
        (npy((10**12,), body=bytes(6)), "y_train claims"),
        (npy((), header="-" * 9000), "doesn't hold"),
    ],
)
def test_labels_are_asked_for_where_they_are_used(labels, message, refusal, tmp_path):
    archive(tmp_path / "own.npz", labels=labels)
    assert message in refusal("acgan", "--data=own.npz")
    assert data.load(tmp_path / "own.npz", labels=False).y_train is None


def test_drawings_may_be_compressed_well(tmp_path):
    images = np.zeros((270_000, 32, 32), np.uint8)
    images[:, 16, 16] = np.random.default_rng(0).integers(1, 256, len(images))
    np.savez_compressed(tmp_path / "own.npz", x_train=images)
    assert 100 < images.size / (tmp_path / "own.npz").stat().st_size < 500
    np.testing.assert_array_equal(
        data.load(tmp_path / "own.npz", labels=False).x_train[..., 0], images
    )


def test_images_may_have_holes(tmp_path):
    images = np.zeros((300, 256, 256), np.uint8)
    images[:, :16] = 1
    np.savez(tmp_path / "own.npz", x_train=images)
    subprocess.run(["cp", "--sparse=always", "own.npz", "copy.npz"], cwd=tmp_path, check=True)
    status = (tmp_path / "copy.npz").stat()
    assert 4 * 512 * status.st_blocks < status.st_size
    np.testing.assert_array_equal(
        data.load(tmp_path / "copy.npz", labels=False).x_train[..., 0], images
    )


@pytest.mark.parametrize("side, classes", [(4, 1000), (28, 200)])
def test_labels_that_are_large_one_hot(side, classes, refusal, tmp_path):
    labels = np.arange(300_000, dtype="u2") % classes
    images = np.zeros((300_000, side, side), "u1")
    np.savez_compressed(tmp_path / "own.npz", x_train=images, y_train=labels)
    size = 300_000 * (side**2 + 4 * classes)
    assert f"takes {size:,} bytes with its labels one-hot" in refusal("acgan", "--data=own.npz")


def test_as_many_classes_as_images(refusal, tmp_path):
    np.savez(tmp_path / "own.npz", x_train=np.zeros((30_000, 4, 4), "u1"), y_train=range(30_000))
    assert "with n from 2 to 1000" in refusal("cgan", "--data=own.npz")
    assert len(data.load(tmp_path / "own.npz", labels=False).x_train) == 30_000
