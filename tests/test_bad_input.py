"""Files, flags and TF_CONFIG that hold or ask for what they shouldn't: one line, at once."""

import json
import os
import re
import shutil
import signal
import socket
import struct
import zipfile
from pathlib import Path

from lib import data, gan, generator_file, memory
from lib.errors import UserError
from lib.flags import one_line
from lib.tf import keras

import h5py
import numpy as np
import pytest
from helpers import main, script

KERNEL = "model_weights/dense/dense/kernel"
LITTLE = 0.5e9  # bytes


@pytest.fixture(autouse=True)
def no_hanging():
    """What waits is ended, and fails."""
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.alarm(30)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def refusal(tmp_path, monkeypatch, capfd):
    """Runs a script in tmp_path, which is to refuse what it is given; returns the line it says."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(memory, "available", lambda: 16e9)

    def run(name, *arguments):
        before = sorted(tmp_path.rglob("*"))
        Path("/proc/self/clear_refs").write_text("5")  # sets the peak back
        begin = peak()
        assert main(name, arguments, monkeypatch) == 2
        error = capfd.readouterr().err
        assert error.count("\n") == 1
        assert error.startswith(f"{name}-mnist.py: ")
        assert error.rstrip("\n").isprintable()
        assert sorted(tmp_path.rglob("*")) == before
        assert peak() - begin < LITTLE
        return error

    return run


def peak() -> int:
    """Bytes of memory that this process has held at most."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(r"VmHWM:\s*(\d+)", status)[1])


def put_pipe(path):
    os.mkfifo(path)


def put_socket(path):
    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(path.parent)  # a socket's path is short
        server.bind(path.name)


def put_device(path):
    path.symlink_to("/dev/zero")


def put_folder(path):
    path.mkdir()


@pytest.mark.parametrize("put", [put_pipe, put_socket, put_device, put_folder])
@pytest.mark.parametrize("flag, name", [("--generator", "odd.h5"), ("--data", "odd.npz")])
def test_what_is_no_file_is_refused_not_waited_for(put, flag, name, refusal, tmp_path):
    put(tmp_path / name)
    assert f"{name} is no " in refusal("wgan", f"{flag}={name}")


@pytest.mark.parametrize("flag, suffix", [("--generator", ".h5"), ("--data", ".npz")])
def test_names(flag, suffix, refusal, tmp_path):
    (tmp_path / "text.txt").write_text("text")
    assert f"text.txt is no {suffix} file" in refusal("wgan", f"{flag}=text.txt")
    assert "there is no file" in refusal("wgan", f"{flag}=missing{suffix}")
    assert f"two\\nlines{suffix}" in refusal("wgan", f"{flag}=two\nlines{suffix}")
    assert "File name too long" in refusal("wgan", f"{flag}={'long' * 99}{suffix}")


# npz files


def npy(shape, descr="|u1", header=None, body=b""):
    """A member of an npz file, with the header that NumPy would write or another one."""
    header = header or f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}"
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header.encode() + body


IMAGES = npy((6, 4, 4), body=bytes(96))


def archive(path, images=IMAGES, labels=None, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as file:
        if images is not None:
            file.writestr("x_train.npy", images)
        if labels is not None:
            file.writestr("y_train.npy", labels)


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
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file,
        file.open("x_train.npy", "w") as member,
    ):
        member.write(npy((600_000, 32, 32)))
        for _ in range(600):
            member.write(bytes(32 * 32 * 1000))


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
        (put_compressed_zeros, "is 614,400,079 bytes out of"),
        (put_pickle, "holds Python objects"),
        (lambda path: archive(path, None), "no item named 'x_train.npy'"),
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


def test_as_many_classes_as_images(refusal, tmp_path):
    np.savez(tmp_path / "own.npz", x_train=np.zeros((30_000, 4, 4), "u1"), y_train=range(30_000))
    assert "with n from 2 to 1000" in refusal("cgan", "--data=own.npz")
    assert len(data.load(tmp_path / "own.npz", labels=False).x_train) == 30_000


# h5 files


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The file of a small generator."""
    path = tmp_path_factory.mktemp("generator") / "plain.h5"
    generator_file.save(gan.generator(keras.Input((100,)), 8), path)
    return path


def change_config(file, change):
    """Change the settings of the layers in a file: change(input's, dense's)."""
    config = json.loads(file.attrs["model_config"])
    layers = {layer["class_name"]: layer["config"] for layer in config["config"]["layers"]}
    change(layers["InputLayer"], layers["Dense"])
    file.attrs["model_config"] = json.dumps(config)


def claim_units(file):
    change_config(file, lambda noise, dense: dense.update(units=2**23))


def claim_inputs(file):
    change_config(file, lambda noise, dense: noise.update(batch_shape=[None, 200_000]))


def claim_stored_units(file):
    claim_units(file)
    replace_kernel(file, shape=(100, 2**23), dtype="f4")  # 3.4 GB, not written


def negative_width(file):
    change_config(file, lambda noise, dense: noise.update(batch_shape=[None, -100]))


def worded_width(file):
    change_config(file, lambda noise, dense: noise.update(batch_shape=[None, "100"]))


def replace_kernel(file, **settings):
    """Put another first kernel in its place, if any; returns the old one."""
    kernel = file[KERNEL][:]
    del file[KERNEL]
    if settings:
        file.create_dataset(KERNEL, **settings)
    return kernel


def external(file):
    kernel = replace_kernel(file)
    file.create_dataset(KERNEL, kernel.shape, "f4", external=[("/dev/zero", 0, kernel.nbytes)])


def virtual(file):
    kernel = replace_kernel(file)
    layout = h5py.VirtualLayout(kernel.shape, "f4")
    layout[:] = h5py.VirtualSource("elsewhere.h5", "kernel", kernel.shape)
    file.create_virtual_dataset(KERNEL, layout)


def linked(file):
    replace_kernel(file)
    file[KERNEL] = h5py.ExternalLink("pipe.h5", "kernel")


def linked_group(file):
    del file["model_weights"]
    file["model_weights"] = h5py.ExternalLink("pipe.h5", "model_weights")


def linked_to_itself(file):
    replace_kernel(file)
    file[KERNEL] = h5py.SoftLink(f"/{KERNEL}")


def sparse(file):
    """4 GB that were allocated, and never written."""
    claim_units(file)
    replace_kernel(file)
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    settings.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    space = h5py.h5s.create_simple((100, 2**23))
    h5py.h5d.create(file.id, KERNEL.encode(), h5py.h5t.IEEE_F32LE, space, settings)


def compressed(file):
    replace_kernel(file, data=np.zeros((100, 512), "f4"), compression="gzip")


def narrow(file):
    replace_kernel(file, data=np.zeros((100, 511), "f4"))


def missing(file):
    replace_kernel(file)


def one_value(value):
    def change(file):
        file[KERNEL][3, 4] = value

    return change


def of_type(dtype, value):
    return lambda file: replace_kernel(file, data=np.full((100, 512), value, dtype))


def config_of(text):
    return lambda file: file.attrs.__setitem__("model_config", text)


def renamed_layers(file):
    file["model_weights"].attrs["layer_names"] = ["dense", "nobody"]


NO_GENERATOR = "doesn't hold a whole generator of these scripts: give a file that does"


@pytest.mark.parametrize(
    "change, message",
    [
        (claim_units, NO_GENERATOR),
        (claim_inputs, NO_GENERATOR),
        (claim_stored_units, NO_GENERATOR),
        (negative_width, NO_GENERATOR),
        (worded_width, NO_GENERATOR),
        (sparse, "is mostly holes"),
        (external, NO_GENERATOR),
        (virtual, NO_GENERATOR),
        (linked, NO_GENERATOR),
        (linked_group, NO_GENERATOR),
        (linked_to_itself, NO_GENERATOR),
        (of_type("c8", 1j), NO_GENERATOR),
        (of_type("i4", 1), NO_GENERATOR),
        (of_type("f8", 1e300), "weights that are not finite"),
        (one_value(np.nan), "weights that are not finite"),
        (one_value(-np.inf), "weights that are not finite"),
        (compressed, NO_GENERATOR),
        (narrow, NO_GENERATOR),
        (missing, NO_GENERATOR),
        (renamed_layers, NO_GENERATOR),
        (config_of("no JSON"), NO_GENERATOR),
        (config_of("[" * 100_000), NO_GENERATOR),
        (config_of("{}"), NO_GENERATOR),
        (config_of("x" * 2**25), "bytes are no weights"),
        (config_of(h5py.Empty("f4")), NO_GENERATOR),
    ],
)
def test_bad_h5_is_one_line(change, message, plain, refusal, tmp_path):
    os.mkfifo(tmp_path / "pipe.h5")
    shutil.copy(plain, tmp_path / "bad.h5")
    with h5py.File(tmp_path / "bad.h5", "r+") as file:
        change(file)
    assert message in refusal("wgan", "--generator=bad.h5")


# flags


@pytest.mark.parametrize("value", [10**20, "9" * 5000])
@pytest.mark.parametrize(
    "flag",
    [
        "--train-steps",
        "--batch-size",
        "--latent-size",
        "--n-critic",
        "--seed",
        "--save-interval",
        "--log-interval",
        "--evaluate-interval",
        "--count",
        "--digit",
        "--distribute=cpu",
    ],
)
def test_huge_numbers(flag, value, refusal):
    given = f"{flag}:{value}" if flag.endswith("cpu") else f"{flag}={value}"
    assert str(value) in refusal("wgan", given)


@pytest.mark.parametrize("flag", ["--lr", "--clip-value"])
@pytest.mark.parametrize("value", ["1e39", "1e999", "-1e-9", "nan"])
def test_numbers_that_float32_does_not_hold(flag, value, refusal):
    assert f"'{value}' is no number from 0 to 3.40282e+38" in refusal("wgan", f"{flag}={value}")


def test_n_critic_is_bounded(refusal):
    assert "'101' is no whole number from 1 to 100" in refusal("wgan", "--n-critic=101")


# memory


@pytest.mark.parametrize(
    "name, flag, message",
    [
        ("wgan", "--batch-size=1000000", "training with --batch-size=1000000 and --n-critic=5"),
        ("acgan", "--batch-size=2147483647", "training with --batch-size=2147483647 takes"),
        ("cgan", "--latent-size=1000000", "a generator from 1,000,010 inputs to images of side 28"),
        ("lsgan", "--latent-size=2147483647", "a generator from 2,147,483,647 inputs"),
        ("dcgan", "--data=large.npz", "a generator from 100 inputs to images of side 2,048"),
    ],
)
def test_what_memory_cannot_hold_is_refused(name, flag, message, refusal, tmp_path):
    archive(tmp_path / "large.npz", npy((2, 2048, 2048), body=bytes(2 * 2048**2)))
    error = refusal(name, flag)
    assert message in error
    assert "GB of memory, and 16.0 GB are free: choose" in error


def test_more_images_than_memory_holds_are_refused(tmp_path, monkeypatch):
    archive(tmp_path / "own.npz")
    monkeypatch.setattr(memory, "available", lambda: 100)
    with pytest.raises(UserError, match=r"x_train in .*own.npz takes about 0.0 GB"):
        data.load(tmp_path / "own.npz", labels=False)


# MB at the peak of two steps, beside the program's own; two cores, TensorFlow 2.21
@pytest.mark.parametrize(
    "name, side, flags, measured",
    [
        ("wgan", 28, ["--batch-size=512"], 1231),
        ("wgan", 28, ["--batch-size=512", "--n-critic=1"], 872),
        ("wgan", 28, ["--batch-size=512", "--n-critic=20"], 2929),
        ("acgan", 28, ["--batch-size=512"], 770),
        ("cgan", 28, ["--batch-size=512"], 901),
        ("acgan", 128, ["--batch-size=4"], 529),
    ],
)
def test_estimate_of_training(name, side, flags, measured):
    module = script(name)
    params = module.parser.parse_args(flags)
    dataset = data.Dataset(np.zeros((10, side, side, 1), "u1"), np.eye(10, dtype="f4"))
    generator, discriminator, _ = module.build_models(params, dataset)
    n_critic = getattr(params, "n_critic", 1)
    estimate = memory.of_training(generator, discriminator, params.batch_size, n_critic)
    assert 0.95 * measured < estimate / 1e6 < 1.5 * measured


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--count=10000000"], "--count=10,000,000 takes about 1"),
        (["--count=100000000", "--npz=new.npz"], "--count=100,000,000 takes about 2"),
        (["--count=2147483647"], "--count=2,147,483,647 takes about 2"),
    ],
)
def test_more_samples_than_memory_holds_are_refused(flags, message, plain, refusal, tmp_path):
    shutil.copy(plain, tmp_path / "plain.h5")
    assert message in refusal("wgan", "--generator=plain.h5", *flags)


def test_available_memory(tmp_path, monkeypatch):
    everything = memory.available()
    assert 0 < everything < float("inf")
    limit, usage = tmp_path / "limit", tmp_path / "usage"
    monkeypatch.setattr(memory, "CONTROL_GROUPS", [(str(limit), str(usage), "anon")])
    limit.write_text("300000\n")
    usage.write_text("anon 100000\nfile 50000\n")
    assert memory.available() == 200_000
    limit.write_text("max\n")
    assert memory.available() > 300_000
    assert memory.table("no such file") == {}


# TF_CONFIG and messages


def config(place="localhost:2222", **task):
    task = {"type": "worker", "index": 0} | task
    return json.dumps({"cluster": {"worker": [place]}, "task": task})


@pytest.mark.parametrize(
    "text, message",
    [
        ("[" * 100_000, "TF_CONFIG must name a cluster"),
        ('{"cluster":' * 20_000, "TF_CONFIG must name a cluster"),
        (config(index=10**20), "TF_CONFIG must name a cluster"),
        (config(f"localhost:{'9' * 5000}"), "TF_CONFIG must name a cluster"),
        (config("nobody.invalid:2222"), "nobody.invalid, which no address is known of"),
        (config(f"{'a' * 64}:2222"), "which no address is known of"),
    ],
)
def test_bad_cluster_is_one_line(text, message, refusal, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", text)
    assert message in refusal("wgan")


@pytest.mark.parametrize(
    "text, line",
    [
        ("plain text, with 'quotes' and ümlauts", "plain text, with 'quotes' and ümlauts"),
        ("two\nlines\r\n", "two\\nlines\\r\\n"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("no UTF-8: \udcff", "no UTF-8: \\udcff"),
        ("{{function_node __wrapped__SaveV2_device_/job:CPU:0}} no room [Op:SaveV2]", "no room"),
    ],
)
def test_one_line(text, line):
    assert one_line(text) == line
