"""h5 files that hold or claim what they shouldn't: one line, at once."""

import errno
import io
import json
import os
import shutil
import subprocess
from pathlib import Path

from lib import gan, generator_file

import h5py
import numpy as np
import pytest
from lib.files import ADVICE
from lib.tf import keras


def kernel_name(file):
    """The first kernel's; Keras numbers layers by how many there were before."""
    dense = next(name for name in file["model_weights"] if name.startswith("dense"))
    return f"model_weights/{dense}/{dense}/kernel"


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
    """Put another first kernel in its place, if any; returns the old one's
    name and values."""
    name = kernel_name(file)
    kernel = file[name][:]
    del file[name]
    if settings:
        file.create_dataset(name, **settings)
    return name, kernel


def external(file):
    name, kernel = replace_kernel(file)
    file.create_dataset(name, kernel.shape, "f4", external=[("/dev/zero", 0, kernel.nbytes)])


def virtual(file):
    name, kernel = replace_kernel(file)
    layout = h5py.VirtualLayout(kernel.shape, "f4")
    layout[:] = h5py.VirtualSource("elsewhere.h5", "kernel", kernel.shape)
    file.create_virtual_dataset(name, layout)


def linked(file):
    name, _ = replace_kernel(file)
    file[name] = h5py.ExternalLink("pipe.h5", "kernel")


def linked_group(file):
    del file["model_weights"]
    file["model_weights"] = h5py.ExternalLink("pipe.h5", "model_weights")


def linked_to_itself(file):
    name, _ = replace_kernel(file)
    file[name] = h5py.SoftLink(f"/{name}")


def sparse(units):
    """A kernel that was allocated, and never written."""

    def change(file):
        change_config(file, lambda noise, dense: dense.update(units=units))
        name, _ = replace_kernel(file)
        settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        settings.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        settings.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        space = h5py.h5s.create_simple((100, units))
        h5py.h5d.create(file.id, name.encode(), h5py.h5t.IEEE_F32LE, space, settings)

    return change


def compressed(file):
    replace_kernel(file, data=np.zeros((100, 512), "f4"), compression="gzip")


def chunked(file):
    """Of which all could be one."""
    replace_kernel(file, data=np.zeros((100, 512), "f4"), chunks=(10, 512))


def narrow(file):
    replace_kernel(file, data=np.zeros((100, 511), "f4"))


def missing(file):
    replace_kernel(file)


def one_value(value):
    def change(file):
        file[kernel_name(file)][3, 4] = value

    return change


def negative_variance(file):
    weights = file["model_weights"]
    name = next(name for name in weights if name.startswith("batch_normalization"))
    weights[f"{name}/{name}/moving_variance"][0] = -1


def of_type(dtype, value):
    return lambda file: replace_kernel(file, data=np.full((100, 512), value, dtype))


def config_of(text):
    return lambda file: file.attrs.__setitem__("model_config", text)


def renamed_layers(file):
    file["model_weights"].attrs["layer_names"] = ["dense", "nobody"]


def repeated_layers(file):
    names = file["model_weights"].attrs["layer_names"]
    file["model_weights"].attrs["layer_names"] = [*names, *names]


NO_GENERATOR = "doesn't hold a whole generator of these scripts: give a file that does"


@pytest.mark.parametrize("use", [[], ["--npz=new.npz"], ["--interpolate"]])
def test_pixels_that_are_no_numbers_are_refused(use, refusal, tmp_path):
    """As finite weights may draw them."""
    generator = gan.generator(keras.Input((100,)), 8)
    *others, kernel, bias, gamma, beta, mean, variance, last, last_bias = generator.get_weights()
    infinite = [1e4 * kernel, bias, np.full_like(gamma, 3e38), beta, mean, variance]
    generator.set_weights([*others, *infinite, last, last_bias])
    generator_file.save(generator, tmp_path / "bad.h5")
    assert "its pixels are not finite" in refusal("wgan", "--generator=bad.h5", "--count=5", *use)


@pytest.mark.parametrize(
    "change, message",
    [
        (claim_units, NO_GENERATOR),
        (claim_inputs, NO_GENERATOR),
        (claim_stored_units, NO_GENERATOR),
        (negative_width, NO_GENERATOR),
        (worded_width, NO_GENERATOR),
        (sparse(8 * 256**2), "is mostly holes"),  # 210 MB
        (sparse(2**23), "is mostly holes"),  # 3.4 GB
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
        (negative_variance, NO_GENERATOR),
        (compressed, "kernel isn't stored in it whole"),
        (chunked, "kernel isn't stored in it whole"),
        (narrow, NO_GENERATOR),
        (missing, NO_GENERATOR),
        (renamed_layers, NO_GENERATOR),
        (repeated_layers, "it names a weight twice"),
        (config_of("no JSON"), NO_GENERATOR),
        (config_of("[" * 100_000), NO_GENERATOR),
        (config_of("{}"), NO_GENERATOR),
        (config_of(["{}", "{}"]), NO_GENERATOR),
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


def test_a_name_that_is_a_path_through_a_link_is_not_followed(plain, refusal, tmp_path):
    os.mkfifo(tmp_path / "pipe.h5")
    shutil.copy(plain, tmp_path / "bad.h5")
    with h5py.File(tmp_path / "bad.h5", "r+") as file:
        file["group/through"] = h5py.ExternalLink("pipe.h5", "/")
        file["group"].create_group("through..it")
    content = (tmp_path / "bad.h5").read_bytes().replace(b"through..it", b"through//it")
    (tmp_path / "bad.h5").write_bytes(content)
    assert "it has links" in refusal("wgan", "--generator=bad.h5")


def test_more_labels_than_data_may_have(refusal, tmp_path):
    generator = gan.generator(keras.Input((100,)), 4, labels=keras.Input((1001,)))
    generator_file.save(generator, tmp_path / "bad.h5")
    assert "1,001 labels, more than 1,000" in refusal("acgan", "--generator=bad.h5")


def zeros_among_texts(content):
    """In the second text's header; HDF5 loops there."""
    first = content.index(b"GCOL") + 16
    length = int.from_bytes(content[first + 8 : first + 16], "little")
    second = first + 16 + (length + 7) // 8 * 8
    content[second : second + 16] = bytes(16)


def text_of_4_gb(content):
    """The description of the network; HDF5 makes room for it."""
    with h5py.File(io.BytesIO(content)) as file:
        length = len(file.attrs["model_config"])
    place = content.index(length.to_bytes(4, "little"))
    content[place : place + 4] = b"\xff" * 4


@pytest.mark.parametrize(
    "damage, reason",
    [(zeros_among_texts, "HDF5 can't read it"), (text_of_4_gb, "memory allocation failed")],
)
def test_h5_that_hdf5_would_choke_on_is_one_line(damage, reason, plain, refusal, tmp_path):
    content = bytearray(plain.read_bytes())
    damage(content)
    (tmp_path / "bad.h5").write_bytes(content)
    assert reason in refusal("wgan", "--generator=bad.h5")


@pytest.mark.parametrize("flag", ["--generator=own.h5", "--data=own.npz"])
def test_what_may_not_be_read_is_told_as_that(flag, refusal, tmp_path, monkeypatch):
    def refuse(path, *mode, **settings):
        if path.parent == tmp_path:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return open(path, *mode, **settings)

    (tmp_path / flag.partition("=")[2]).touch()
    monkeypatch.setattr(Path, "open", refuse)  # root may read everything
    assert refusal("wgan", flag.replace("=", f"={tmp_path}/")).endswith(
        ": Permission denied: make it readable\n"
    )


@pytest.mark.parametrize("number", ADVICE)
def test_what_the_system_refuses_is_no_fault_of_the_file(number, plain, refusal, monkeypatch):
    def refuse(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(subprocess, "run", refuse)
    error = refusal("wgan", f"--generator={plain}")
    assert error.endswith(f"{os.strerror(number)}: {ADVICE[number]}\n")
