"""Generators as files: read as what they are, and nothing that a stranger's file asks for."""

import json
import shutil
import zipfile
from pathlib import Path

from lib import gan, generator_file
from lib.plumbing.errors import UserError

import h5py
import numpy as np
import pytest
from lib.sampling.load import load
from tensorflow import keras

NO_GENERATOR = "doesn't hold a generator of these scripts"


def noise(count=4, width=100):
    return np.random.default_rng(1).uniform(-1, 1, (count, width)).astype(np.float32)


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
@pytest.mark.parametrize("activation", ["sigmoid", "tanh", None])
def test_a_file_of_keras_is_drawn_as_what_it_is(activation, suffix, tmp_path):
    """Takes what Model.save wrote; pictures are in [0, 1], whatever the output's range."""
    generator = gan.generator(keras.Input((100,)), 8, activation=activation)
    generator.get_layer(index=-2).kernel.assign(
        50 * generator.get_layer(index=-2).kernel
    )  # or all are grey
    generator.save(tmp_path / f"own{suffix}")
    loaded, stored = load(tmp_path / f"own{suffix}")
    assert stored.activation == activation or (activation, stored.activation) == (None, "linear")
    np.testing.assert_allclose(loaded(noise()), generator(noise()), atol=1e-6)
    images = gan.draw_images(loaded, [noise()])
    assert (images.min() >= 0) & (images.max() <= 1)
    if activation == "tanh":
        np.testing.assert_allclose(images, (generator(noise()) + 1) / 2, atol=1e-6)


@pytest.mark.parametrize("conditions", [0, 1, 3])
def test_a_saved_generator_draws_the_same_anywhere(conditions, tmp_path):
    """Saves in float32; Keras alone, and lib, load it."""
    labels, codes = None, None
    if conditions:
        labels = keras.Input((3,))
    if conditions == 3:
        codes = [keras.Input((1,)), keras.Input((1,))]
    generator = gan.generator(keras.Input((100,)), 8, labels=labels, codes=codes)
    generator_file.save(generator, tmp_path / "own.h5", "own.npz", ["a", "b", "c"])
    inputs = [noise(), *(np.ones((4, tensor.shape[1]), "f4") for tensor in generator.inputs[1:])]
    expected = gan.draw_images(generator, inputs)
    loaded, stored = load(tmp_path / "own.h5")
    np.testing.assert_array_equal(gan.draw_images(loaded, inputs), expected)
    classes = ["a", "b", "c"] if conditions == 1 else []
    assert (stored.source, stored.classes) == ("own.npz", classes)
    plain = keras.models.load_model(tmp_path / "own.h5", compile=False)
    np.testing.assert_allclose(gan.draw_images(plain, inputs), expected, atol=1e-6)
    assert {type(layer).__module__.partition(".")[0] for layer in plain.layers} == {"keras"}


def test_the_description_has_no_defaults(tmp_path):
    """Versions of Keras that lack an argument can read what doesn't mention it."""
    generator_file.save(gan.generator(keras.Input((100,)), 8), tmp_path / "own.h5")
    with h5py.File(tmp_path / "own.h5") as file:
        layers = json.loads(file.attrs["model_config"])["config"]["layers"]
    dense = next(layer["config"] for layer in layers if layer["class_name"] == "Dense")
    assert dense.keys() >= {"units", "name"}
    assert not dense.keys() & {"use_bias", "quantization_config", "kernel_regularizer"}


def test_keras2_calls_the_shape_otherwise(plain, tmp_path):
    """Reads the descriptions of the chapter's own files."""

    def rename(config):
        config["config"]["layers"][0]["config"] = {"batch_input_shape": [None, 100]}

    change_config(plain, tmp_path / "old.h5", rename)
    assert load(tmp_path / "old.h5")[1].widths == [100]


def change_config(source, path, change):
    shutil.copy(source, path)
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        change(config)
        file.attrs["model_config"] = json.dumps(config)


def kernel_name(file):
    dense = next(name for name in file["model_weights"] if name.startswith("dense"))
    return f"model_weights/{dense}/{dense}/kernel"


def replace_kernel(file, **settings):
    """Put another first kernel in its place, if any; return the old one's name and values."""
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
    file[name] = h5py.ExternalLink("elsewhere.h5", "kernel")


def linked_group(file):
    del file["model_weights"]
    file["model_weights"] = h5py.ExternalLink("elsewhere.h5", "model_weights")


def one_value(value):
    def change(file):
        file[kernel_name(file)][3, 4] = value

    return change


def kernel(dtype="f4", shape=(100, 512), **settings):
    return lambda file: replace_kernel(file, data=np.zeros(shape, dtype), **settings)


def config_of(text):
    return lambda file: file.attrs.__setitem__("model_config", text)


@pytest.mark.parametrize(
    "change, message",
    [
        (external, NO_GENERATOR),
        (virtual, NO_GENERATOR),
        (linked, "it has links"),
        (linked_group, "it has links"),
        (kernel("c8"), NO_GENERATOR),
        (kernel("i4"), NO_GENERATOR),
        (kernel(shape=(100, 511)), "other shapes"),
        (kernel(compression="gzip"), "isn't stored in it plainly"),
        (replace_kernel, NO_GENERATOR),
        (one_value(np.nan), "weights are not finite"),
        (one_value(-np.inf), "weights are not finite"),
        (config_of("no JSON"), NO_GENERATOR),
        (config_of("[" * 100_000), NO_GENERATOR),
        (config_of("{}"), NO_GENERATOR),
        (config_of(h5py.Empty("f4")), NO_GENERATOR),
    ],
)
def test_bad_h5_is_refused(change, message, plain, tmp_path):
    shutil.copy(plain, tmp_path / "bad.h5")
    with h5py.File(tmp_path / "bad.h5", "r+") as file:
        change(file)
    with pytest.raises(UserError, match=message):
        load(tmp_path / "bad.h5")


def layer(config, kind):
    found = (layer for layer in config["config"]["layers"] if layer["class_name"] == kind)
    return [*found][-1]["config"]


@pytest.mark.parametrize(
    "change",
    [
        lambda config: layer(config, "Dense").update(units=2**23),
        lambda config: layer(config, "InputLayer").update(batch_shape=[None, 200_000]),
        lambda config: layer(config, "InputLayer").update(batch_shape=[None, -100]),
        lambda config: layer(config, "InputLayer").update(batch_shape=[None, "100"]),
        lambda config: layer(config, "Activation").update(activation="softmax"),
        lambda config: config["config"]["layers"].pop(),
    ],
)
def test_a_description_of_other_networks_is_refused(change, plain, tmp_path):
    change_config(plain, tmp_path / "bad.h5", change)
    with pytest.raises(UserError, match=NO_GENERATOR):
        load(tmp_path / "bad.h5")


def test_a_file_of_another_network_is_refused(tmp_path):
    for suffix in ".h5", ".keras":
        gan.discriminator(keras.Input((8, 8, 1))).save(tmp_path / f"bad{suffix}")
        with pytest.raises(UserError, match=NO_GENERATOR):
            load(tmp_path / f"bad{suffix}")


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_nothing_of_a_file_is_executed(suffix, tmp_path):
    """Ignores a layer of code, which Keras would run."""
    trap, path = str(tmp_path / "executed"), tmp_path / f"bad{suffix}"
    generator = gan.generator(keras.Input((100,)), 8)
    code = keras.layers.Lambda(
        lambda x: [__import__("pathlib").Path(trap).touch(), x][1], output_shape=(8, 8, 1)
    )
    outputs = code(generator.output)
    keras.Model(generator.input, outputs).save(path)
    with pytest.raises(UserError, match="its output is"):
        load(path)
    keras.Model(generator.input, keras.layers.Activation("tanh")(outputs)).save(path)
    Path(trap).unlink(missing_ok=True)
    load(path)[0](noise())
    assert not Path(trap).exists()
    keras.models.load_model(path, safe_mode=False, compile=False)(noise())
    assert Path(trap).exists()


@pytest.mark.parametrize(
    "link", [h5py.ExternalLink("elsewhere.h5", "vars"), h5py.SoftLink("/elsewhere")]
)
def test_links_in_a_keras_file_are_refused(link, tmp_path):
    gan.generator(keras.Input((100,)), 8).save(tmp_path / "own.keras")
    with zipfile.ZipFile(tmp_path / "own.keras") as own:
        members = {name: own.read(name) for name in own.namelist()}
    (tmp_path / "weights.h5").write_bytes(members["model.weights.h5"])
    with h5py.File(tmp_path / "weights.h5", "r+") as file:
        del file["layers/dense/vars"]
        file["layers/dense/vars"] = link
    members["model.weights.h5"] = (tmp_path / "weights.h5").read_bytes()
    with zipfile.ZipFile(tmp_path / "bad.keras", "w") as bad:
        for name, content in members.items():
            bad.writestr(name, content)
    with pytest.raises(UserError, match="it has links"):
        load(tmp_path / "bad.keras")


@pytest.mark.parametrize("content", [b"", b"no HDF5", b"\x89HDF\r\n\x1a\n cut off"])
@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_what_is_no_file_of_the_kind_is_refused(suffix, content, tmp_path):
    (tmp_path / f"bad{suffix}").write_bytes(content)
    with pytest.raises(UserError, match=NO_GENERATOR):
        load(tmp_path / f"bad{suffix}")


def test_what_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "bad.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.weights.h5", bytes(10**6))
    monkeypatch.setattr(generator_file, "MAX_BYTES", 10**5)
    with pytest.raises(UserError, match="unpacks to more"):
        load(tmp_path / "bad.keras")
    (tmp_path / "bad.h5").write_bytes(bytes(10**6))
    with pytest.raises(UserError, match="is larger than"):
        load(tmp_path / "bad.h5")


def test_classes_of_other_labels_are_refused(tmp_path):
    generator = gan.generator(keras.Input((6,)), 4, labels=keras.Input((3,)))
    generator_file.save(generator, tmp_path / "bad.h5", classes=["a", "b"])
    with pytest.raises(UserError, match="2 classes for 3 labels"):
        load(tmp_path / "bad.h5")


def test_more_labels_than_data_may_have(tmp_path):
    generator = gan.generator(keras.Input((100,)), 4, labels=keras.Input((1001,)))
    generator_file.save(generator, tmp_path / "bad.h5")
    with pytest.raises(UserError, match="1,001 labels, more than 1,000"):
        load(tmp_path / "bad.h5")
