"""Generators as files: read as what they are, and nothing that a stranger's file asks for."""

import json
import shutil
import zipfile
from pathlib import Path

from lib import gan
from lib import generator as generators
from lib.generator import Generator
from lib.plumbing.errors import UserError

import h5py
import numpy as np
import pytest
from tensorflow import keras

NO_GENERATOR = "doesn't hold a generator"
L = keras.layers


def noise(count=4, width=100):
    return np.random.default_rng(1).uniform(-1, 1, (count, width)).astype(np.float32)


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
@pytest.mark.parametrize("activation", ["sigmoid", "tanh", None])
def test_a_file_of_keras_is_drawn_as_what_it_is(activation, suffix, tmp_path):
    """Takes what Model.save wrote; pictures are in [0, 1], whatever the output's range."""
    model = gan.generator(keras.Input((100,)), 8, activation=activation)
    last = model.get_layer(index=-2)
    last.kernel.assign(50 * last.kernel)  # or all are grey
    model.save(tmp_path / f"own{suffix}")
    loaded = Generator.load(tmp_path / f"own{suffix}")
    np.testing.assert_allclose(loaded.model(noise()), model(noise()), atol=1e-5)
    images = loaded.draw([noise()])
    assert (images.min() >= 0) & (images.max() <= 1)
    if activation == "tanh":
        np.testing.assert_allclose(images, (model(noise()) + 1) / 2, atol=1e-5)


@pytest.mark.parametrize("conditions", [0, 1, 3])
def test_a_saved_generator_draws_the_same_anywhere(conditions, tmp_path):
    """Saves in float32; Keras alone, and lib, load it."""
    labels, codes = None, None
    if conditions:
        labels = keras.Input((3,))
    if conditions == 3:
        codes = [keras.Input((1,)), keras.Input((1,))]
    model = gan.generator(keras.Input((100,)), 8, labels=labels, codes=codes)
    saved = Generator(model, ["a", "b", "c"], "own.npz", "normal", (-1, 1))
    saved.save(tmp_path / "own.h5")
    loaded = Generator.load(tmp_path / "own.h5")
    inputs = loaded.inputs(4, seed=1)
    np.testing.assert_allclose(loaded.draw(inputs), saved.draw(inputs), atol=1e-6)
    assert loaded.classes == (["a", "b", "c"] if conditions == 1 else [])
    facts = loaded.source, loaded.noise, loaded.image_range
    assert facts == ("own.npz", "normal", (-1, 1))
    plain = keras.models.load_model(tmp_path / "own.h5", compile=False)
    np.testing.assert_allclose(plain(inputs), model(inputs), atol=1e-6)
    assert {type(layer).__module__.partition(".")[0] for layer in plain.layers} == {"keras"}


def test_a_class_is_called_as_the_data_name_it():
    model = gan.generator(keras.Input((6,)), 4, labels=keras.Input((3,)))
    generator = Generator(model, ["Ankle boot", "3", "T-shirt/top"], "fashion")
    names = ["Ankle boot", "ankle_boot", "3", 3, "t_shirt_top", None]
    assert [generator.label(name) for name in names] == [0, 0, 1, 1, 2, None]
    with pytest.raises(UserError, match="class owl is unknown here: choose from Ankle boot, 3, T"):
        generator.label("owl")


def test_noise_is_what_it_was_trained_on():
    model = gan.generator(keras.Input((100,)), 4)
    (uniform,), (normal,) = (
        Generator(model, noise=kind).inputs(64) for kind in ("uniform", "normal")
    )
    assert np.abs(uniform).max() <= 1
    assert np.abs(normal).max() > 3
    assert abs(normal.std() - 1) < 0.05


def test_the_description_has_no_defaults(tmp_path):
    """Versions of Keras that lack an argument can read what doesn't mention it."""
    Generator(gan.generator(keras.Input((100,)), 8)).save(tmp_path / "own.h5")
    with h5py.File(tmp_path / "own.h5") as file:
        layers = json.loads(file.attrs["model_config"])["config"]["layers"]
    dense = next(layer["config"] for layer in layers if layer["class_name"] == "Dense")
    assert dense.keys() >= {"units", "name"}
    assert not dense.keys() & {"use_bias", "quantization_config", "kernel_regularizer"}


def change_config(source, path, change):
    shutil.copy(source, path)
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        change(config)
        file.attrs["model_config"] = json.dumps(config)


def replace_kernel(file, **settings):
    """Put another first kernel in its place, if any; return the old one's name and values."""
    dense = next(name for name in file["model_weights"] if name.startswith("dense"))
    name = f"model_weights/{dense}/{dense}/kernel"
    kernel = file[name][:]
    del file[name]
    if settings:
        file.create_dataset(name, **settings)
    return name, kernel


def external(file):
    name, kernel = replace_kernel(file)
    file.create_dataset(name, kernel.shape, "f4", external=[("/dev/zero", 0, kernel.nbytes)])


def linked(file):
    name, _ = replace_kernel(file)
    file[name] = h5py.ExternalLink("elsewhere.h5", "kernel")


def kernel(value=0, dtype="f4", shape=(100, 512), **settings):
    return lambda file: replace_kernel(file, data=np.full(shape, value, dtype), **settings)


def config_of(text):
    return lambda file: file.attrs.__setitem__("model_config", text)


@pytest.mark.parametrize(
    "change, message",
    [
        (external, NO_GENERATOR),
        (linked, "it has links"),
        (kernel(dtype="c8"), NO_GENERATOR),
        (kernel(shape=(100, 511)), NO_GENERATOR),
        (kernel(compression="gzip"), "isn't stored in it plainly"),
        (kernel(np.nan), "weights are not finite"),
        (config_of("no JSON"), NO_GENERATOR),
        (config_of("[" * 100_000), NO_GENERATOR),
        (lambda file: file.attrs.__setitem__("noise", "loud"), NO_GENERATOR),
        (lambda file: file.attrs.__setitem__("classes", '["a"]'), "1 classes for"),
    ],
)
def test_bad_h5_is_refused(change, message, plain, tmp_path):
    shutil.copy(plain, tmp_path / "bad.h5")
    with h5py.File(tmp_path / "bad.h5", "r+") as file:
        change(file)
    with pytest.raises(UserError, match=message):
        Generator.load(tmp_path / "bad.h5")


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_what_draws_no_images_is_refused(suffix, tmp_path):
    gan.discriminator(keras.Input((8, 8, 1))).save(tmp_path / f"bad{suffix}")
    with pytest.raises(UserError, match=NO_GENERATOR):
        Generator.load(tmp_path / f"bad{suffix}")
    (tmp_path / f"empty{suffix}").write_bytes(b"\x89HDF\r\n\x1a\n cut off")
    with pytest.raises(UserError, match=NO_GENERATOR):
        Generator.load(tmp_path / f"empty{suffix}")


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_code_in_a_file_is_refused(suffix, tmp_path):
    """Refuses a layer of code at any depth, which Keras would run."""
    path = str(tmp_path / "executed")
    lambda_layer = L.Lambda(
        lambda x: [__import__("pathlib").Path(path).touch(), x][1], output_shape=(64,)
    )
    inner = keras.Sequential([keras.Input((64,)), lambda_layer])
    x = keras.Input((6,))
    model = keras.Model(x, L.Reshape((8, 8, 1))(inner(L.Dense(64)(x))))
    model.save(tmp_path / f"bad{suffix}")
    Path(path).unlink(missing_ok=True)
    with pytest.raises(UserError, match="a layer of code .*: write a layer class instead"):
        Generator.load(tmp_path / f"bad{suffix}")
    assert not Path(path).exists()
    keras.models.load_model(tmp_path / f"bad{suffix}", safe_mode=False, compile=False)(noise(4, 6))
    assert Path(path).exists()


def test_a_registered_name_hides_no_code(plain, tmp_path):
    """Keras would look up the class of a description without a module by its name alone."""

    def change(config):
        layer = next(x for x in config["config"]["layers"] if x["class_name"] == "Activation")
        del layer["module"]
        layer.update({"class_name": "Lambda", "registered_name": "improved_gans>RMSprop"})
        layer["config"] = {"function": {"class_name": "function", "config": "relu"}, "name": "x"}

    change_config(plain, tmp_path / "bad.h5", change)
    with pytest.raises(UserError, match=NO_GENERATOR + ".*(recognized|RMSprop|deserialized)"):
        Generator.load(tmp_path / "bad.h5")


@pytest.mark.parametrize(
    "dense",
    [
        {"module": "os", "class_name": "system", "registered_name": None},
        {"module": "keras.layers", "class_name": "TFSMLayer", "registered_name": None},
        {"module": "keras.src.layers.core.lambda_layer", "class_name": "Lambda"},
        {"module": "keras.layers", "class_name": "StringLookup"},
        {"module": "builtins", "class_name": "function", "config": "eval"},
        {"class_name": "__lambda__"},
        {"class_name": "Mine", "registered_name": "stranger>Mine", "module": None},
    ],
)
@pytest.mark.parametrize("inside", ["layers", "activation", "kernel_initializer"])
def test_what_is_not_keras_s_own_is_refused(dense, inside, plain, tmp_path):
    """Names it, wherever it is in the description."""

    def change(config):
        layer = next(x for x in config["config"]["layers"] if x["class_name"] == "Dense")
        if inside == "layers":
            layer.update(dense)
        else:
            layer["config"][inside] = {"config": {}} | dense

    change_config(plain, tmp_path / "bad.h5", change)
    with pytest.raises(UserError, match="is not Keras's own|a layer of code"):
        Generator.load(tmp_path / "bad.h5")


def test_a_layer_of_one_s_own_needs_the_script_that_defines_it(tmp_path):
    @keras.utils.register_keras_serializable("own")
    class Half(L.Layer):
        def call(self, x):
            return x / 2

    x = keras.Input((6,))
    model = keras.Model(x, L.Reshape((8, 8, 1))(Half()(L.Dense(64)(x))))
    Generator(model).save(tmp_path / "own.h5")
    loaded = Generator.load(tmp_path / "own.h5")
    np.testing.assert_array_equal(loaded.model(noise(4, 6)), model(noise(4, 6)))
    del keras.utils.get_custom_objects()["own>Half"]  # as in a process that doesn't define it
    with pytest.raises(UserError, match="own.h5 has Half, which is not Keras's own: the script"):
        Generator.load(tmp_path / "own.h5")


def test_links_in_a_keras_file_are_refused(tmp_path):
    gan.generator(keras.Input((100,)), 8).save(tmp_path / "own.keras")
    with zipfile.ZipFile(tmp_path / "own.keras") as own:
        members = {name: own.read(name) for name in own.namelist()}
    (tmp_path / "weights.h5").write_bytes(members["model.weights.h5"])
    with h5py.File(tmp_path / "weights.h5", "r+") as file:
        del file["layers/dense/vars"]
        file["layers/dense/vars"] = h5py.ExternalLink("elsewhere.h5", "vars")
    members["model.weights.h5"] = (tmp_path / "weights.h5").read_bytes()
    with zipfile.ZipFile(tmp_path / "bad.keras", "w") as bad:
        for name, content in members.items():
            bad.writestr(name, content)
    with pytest.raises(UserError, match="it has links"):
        Generator.load(tmp_path / "bad.keras")


def test_what_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "bad.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.weights.h5", bytes(10**6))
    monkeypatch.setattr(generators, "MAX_BYTES", 10**5)
    with pytest.raises(UserError, match="unpacks to more"):
        Generator.load(tmp_path / "bad.keras")
    (tmp_path / "bad.h5").write_bytes(bytes(10**6))
    with pytest.raises(UserError, match="is larger than"):
        Generator.load(tmp_path / "bad.h5")
