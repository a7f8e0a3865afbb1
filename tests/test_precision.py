"""mixed_bfloat16: what is computed in it, and what stays float32."""

import json

from lib import data, gan
from lib.generator import Generator
from lib.program import main as program
from lib.training.step import compile_step

import h5py
import numpy as np
import pytest
import tensorflow as tf
from helpers import FEW_STEPS, assert_same_weights, main, results, script, train
from tensorflow import keras

needs_bfloat16 = pytest.mark.skipif(
    not program.has_bfloat16(), reason="takes minutes where the processor has no bfloat16"
)


@pytest.fixture
def bfloat16():
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    yield
    keras.mixed_precision.set_global_policy("float32")


@needs_bfloat16
def test_a_generators_file_is_as_float32s(tmp_path, monkeypatch, capsys):
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
            kinds = {}
            file["model_weights"].visititems(
                lambda name, item, kinds=kinds: kinds.update(
                    {name: (getattr(item, "shape", None), getattr(item, "dtype", None))}
                )
            )
            found.append((json.loads(file.attrs["model_config"]), kinds))
    assert found[0] == found[1]

    # Keras alone loads it, and draws what these scripts draw from it
    inputs = [np.full((10, 100), 0.5, "float32"), np.eye(10, dtype="float32")]
    path = tmp_path / "mixed_bfloat16" / "acgan_mnist.h5"
    images = keras.models.load_model(path, compile=False)(inputs)
    np.testing.assert_allclose(images, Generator.load(path).model(inputs), atol=1e-6)


def test_weights_and_outputs_stay_float32(bfloat16):
    labels, images = keras.Input((3,)), keras.Input((8, 8, 1))
    generator = gan.generator(keras.Input((6,)), 8, labels=labels)
    discriminator = gan.discriminator(images, num_labels=3, num_codes=2, batch_norm=True)
    for model in generator, discriminator, gan.Adversarial(generator, discriminator):
        assert {weight.dtype for weight in model.weights} == {"float32"}
    for tensor in generator.outputs + discriminator.outputs:
        assert tensor.dtype == "float32"
    convolutions = [
        layer for layer in generator.layers + discriminator.layers if "conv" in layer.name
    ]
    assert {layer.compute_dtype for layer in convolutions} == {"bfloat16"}


@needs_bfloat16
def test_losses_run_alike_and_a_resumed_run_equals_a_whole_one(tmp_path, some_mnist):
    def run(name, *flags, steps=6):
        flags = ["--log-interval=1", *flags]
        return train("lsgan", tmp_path / name, some_mnist, *flags, steps=steps)

    def losses(name):
        path = tmp_path / name / "lsgan_mnist" / "history.csv"
        return np.genfromtxt(path, delimiter=",")[1:, [1, 3]]

    run("float32")
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        whole = run("whole")
        run("parts", steps=3)
        parts = run("parts", "--resume")
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert (losses("whole") != losses("float32")).any()
    np.testing.assert_allclose(losses("whole"), losses("float32"), rtol=0.1, atol=0.01)
    assert_same_weights(parts, whole)
    ended = [results(tmp_path / name / "lsgan_mnist") for name in ("parts", "whole")]
    assert ended[0] == ended[1]


@needs_bfloat16
def test_the_gradient_penalty_bears_bfloat16(bfloat16, mnist):
    """The penalty and its gradient in the critic's weights, in both precisions."""
    module = script("wgan-gp")
    params = module.parser.parse_args(["--batch-size=8", "--seed=1"])
    _, twin, _ = module.build_models(params, mnist)
    keras.mixed_precision.set_global_policy("float32")
    keras.utils.set_random_seed(1)
    models = generator, critic, _ = module.build_models(params, mnist)
    draw = data.Sampler(params, mnist)
    step = compile_step(module.gan_step, models, draw, params)

    def penalty(critic, images):
        with tf.GradientTape() as tape:
            value = module.gradient_penalty(critic, images)
        gradients = tape.gradient(value, critic.trainable_weights)
        # the last bias plays no part
        return float(value), np.concatenate([np.ravel(g) for g in gradients if g is not None])

    def apart(one, other):
        return float(np.linalg.norm(one - other) / np.linalg.norm(other))

    for steps in 0, 30:
        for _ in range(steps):
            step()
        twin.set_weights(critic.get_weights())
        epsilon = draw.rng.uniform((8, 1, 1, 1))
        images = epsilon * draw.images() + (1 - epsilon) * generator(draw.noise(), training=True)
        found = [penalty(network, images) for network in (twin, critic)]
        errors = [apart(*pair) for pair in zip(*found, strict=True)]
        assert max(errors) <= 0.1


def test_refused_where_it_is_slow(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("flags : fpu avx2 avx512f\n")
    assert not program.has_bfloat16(cpuinfo)
    cpuinfo.write_text("flags : fpu avx512f avx512_bf16\n")
    assert program.has_bfloat16(cpuinfo)
    monkeypatch.setattr(program, "has_bfloat16", lambda: False)
    assert main("lsgan", ["--precision=mixed_bfloat16"], monkeypatch) == 2
    assert "--precision=mixed_bfloat16 is slow here" in capsys.readouterr().err
