"""mixed_bfloat16: what is computed in it, and what stays float32."""

import json

from lib import cli, generator_file

import h5py
import numpy as np
import pytest
from helpers import FEW_STEPS, SCRIPTS, main, script, train
from tensorflow import keras

needs_bfloat16 = pytest.mark.skipif(not cli.has_bfloat16(), reason="refused on this processor")


@pytest.fixture
def bfloat16():
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    yield
    keras.mixed_precision.set_global_policy("float32")


@needs_bfloat16
def test_generator_file_is_the_same_as_float32s(bfloat16, tmp_path, monkeypatch, capsys):
    found = []
    for precision in "mixed_bfloat16", "float32":
        folder = tmp_path / precision
        folder.mkdir()
        monkeypatch.chdir(folder)
        flags = [*FEW_STEPS, "--seed=3", f"--precision={precision}"]
        keras.utils.clear_session()  # counts layers' names from the beginning
        assert main("acgan", flags, monkeypatch) == 0
        assert capsys.readouterr().err == ""
        with h5py.File(folder / "acgan_mnist.h5") as file:
            arrays = {}
            file["model_weights"].visititems(
                lambda name, item, arrays=arrays: (
                    arrays.update({name: item}) if isinstance(item, h5py.Dataset) else None
                )
            )
            kinds = {name: (array.shape, array.dtype) for name, array in arrays.items()}
            found.append((json.loads(file.attrs["model_config"]), kinds))
    assert found[0] == found[1]

    # any Keras loads it, and draws what these scripts draw from it
    inputs = [np.full((10, 100), 0.5, "float32"), np.eye(10, dtype="float32")]
    path = tmp_path / "mixed_bfloat16" / "acgan_mnist.h5"
    images = keras.models.load_model(path, compile=False)(inputs)
    np.testing.assert_allclose(images, generator_file.load(path, True)(inputs), atol=1e-6)


@pytest.mark.parametrize("name", SCRIPTS)
def test_weights_and_outputs_stay_float32(name, bfloat16, mnist):
    module = script(name)
    params = module.parser.parse_args([])
    generator, discriminator, adversarial = module.build_models(params, mnist)
    for model in generator, discriminator, adversarial:
        assert {weight.dtype for weight in model.weights} == {"float32"}
    for tensor in generator.outputs + discriminator.outputs:
        assert tensor.dtype == "float32"
    convolutions = [
        layer for layer in generator.layers + discriminator.layers if "conv" in layer.name
    ]
    assert {layer.compute_dtype for layer in convolutions} == {"bfloat16"}


@needs_bfloat16
def test_losses_run_alike(tmp_path, mnist):
    def losses(folder):
        train("lsgan", folder, mnist, "--log-interval=1", "--batch-size=32", steps=8)
        return np.genfromtxt(folder / "lsgan_mnist" / "history.csv", delimiter=",")[1:, [1, 3]]

    exact = losses(tmp_path / "float32")
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        rounded = losses(tmp_path / "bfloat16")
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert (rounded != exact).any()
    np.testing.assert_allclose(rounded, exact, rtol=0.1, atol=0.01)


@needs_bfloat16
def test_resumed_run_equals_the_uninterrupted_one(tmp_path, mnist, bfloat16):
    whole, *_ = train("lsgan", tmp_path / "whole", mnist, steps=6)
    train("lsgan", tmp_path / "parts", mnist, steps=3)
    parts, *_ = train("lsgan", tmp_path / "parts", mnist, "--resume", steps=6)
    for ours, theirs in zip(parts.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_refused_where_it_makes_no_sense(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cli.tf.config, "list_physical_devices", lambda kind: [])
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("flags : fpu avx2 avx512f\n")
    assert not cli.has_bfloat16(cpuinfo)
    cpuinfo.write_text("flags : fpu avx512f avx512_bf16\n")
    assert cli.has_bfloat16(cpuinfo)
    monkeypatch.setattr(cli, "has_bfloat16", lambda: False)
    assert main("lsgan", ["--precision=mixed_bfloat16"], monkeypatch) == 2
    assert "--precision=mixed_bfloat16 is slow here" in capsys.readouterr().err
    sampling = ["--precision=mixed_bfloat16", "--generator=some.h5"]
    assert main("lsgan", sampling, monkeypatch) == 2
    assert "--precision goes with training" in capsys.readouterr().err
    assert main("lsgan", ["--precision=float16"], monkeypatch) == 2
    assert "invalid choice: 'float16'" in capsys.readouterr().err
