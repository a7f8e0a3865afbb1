"""The networks against the chapter's description and hand-counted parameters."""

from lib import gan, keras2
from lib.plumbing.errors import UserError

import numpy as np
import pytest
from tensorflow import keras

CONV = [832, 51_264, 204_928, 819_456]  # 25 * in * out + out
FLAT = 4 * 4 * 256


def image():
    return keras.Input((28, 28, 1))


def kinds(model):
    return [type(layer).__name__ for layer in model.layers if "Input" not in type(layer).__name__]


def params(model):
    return [layer.count_params() for layer in model.layers if layer.count_params()]


def generator(**kwargs):
    return gan.generator(keras.Input((100,)), 28, **kwargs)


def test_generator_layers():
    model = generator()
    block = ["BatchNormalization", "Activation", "Conv2DTranspose"]
    assert model.name == "generator"
    assert kinds(model) == ["Dense", "Reshape", *4 * block, "Activation"]
    transposed = [layer for layer in model.layers if type(layer).__name__ == "Conv2DTranspose"]
    assert [layer.filters for layer in transposed] == [128, 64, 32, 1]
    assert [layer.strides for layer in transposed] == [(2, 2), (2, 2), (1, 1), (1, 1)]
    assert {layer.kernel_size for layer in transposed} == {(5, 5)}
    # dense 101 * 6272; batch normalization 4 * channels; convolutions 25 * in * out + out
    assert params(model) == [633_472, 512, 409_728, 512, 204_864, 256, 51_232, 128, 801]
    assert model.count_params() == 1_301_505


@pytest.mark.parametrize("side", [4, 12, 28])
def test_generator_output(side):
    noise = np.random.default_rng(0).uniform(-1, 1, (3, 100)).astype("float32")
    images = gan.generator(keras.Input((100,)), side)(noise).numpy()
    assert images.shape == (3, side, side, 1)
    assert images.dtype == np.float32
    assert 0 <= images.min() < images.max() <= 1
    assert np.min(gan.generator(keras.Input((100,)), side, activation=None)(noise)) < 0


@pytest.mark.parametrize(
    "conditions, widths",
    [
        ({"labels": keras.Input((10,))}, [10]),  # ACGAN, CGAN
        (
            {"labels": keras.Input((10,)), "codes": [keras.Input((1,)), keras.Input((1,))]},
            [10, 1, 1],
        ),
        ({"codes": keras.Input((50,))}, [50]),  # generator 0 of a StackedGAN
    ],
)
def test_generator_conditions(conditions, widths):
    model = generator(**conditions)
    assert [tensor.shape[1] for tensor in model.inputs] == [100, *widths]
    assert kinds(model)[0] == "Concatenate"
    assert params(model)[0] == (100 + sum(widths) + 1) * 6272


def test_discriminator_layers():
    model = gan.discriminator(image())
    assert model.name == "discriminator"
    assert kinds(model) == [*4 * ["LeakyReLU", "Conv2D"], "Flatten", "Dense", "Activation"]
    convolutions = [layer for layer in model.layers if type(layer).__name__ == "Conv2D"]
    assert [layer.filters for layer in convolutions] == [32, 64, 128, 256]
    assert [layer.strides for layer in convolutions] == [(2, 2), (2, 2), (2, 2), (1, 1)]
    slopes = [layer.negative_slope for layer in model.layers if "LeakyReLU" in str(type(layer))]
    np.testing.assert_allclose(slopes, 0.2)
    assert params(model) == [*CONV, FLAT + 1]
    assert model.count_params() == 1_080_577
    assert kinds(gan.discriminator(image(), activation=None))[-1] == "Dense"


def test_discriminator_heads():
    hidden = (FLAT + 1) * 128
    acgan = gan.discriminator(image(), num_labels=10)
    assert acgan.output_names == ["source", "label"]
    assert acgan.output_shape == [(None, 1), (None, 10)]
    assert sorted(params(acgan)[4:]) == sorted([FLAT + 1, hidden, 1290])

    infogan = gan.discriminator(image(), num_labels=10, num_codes=2)
    assert infogan.output_names == ["source", "label", "code1", "code2"]
    assert infogan.output_shape == [(None, 1), (None, 10), (None, 1), (None, 1)]
    assert sorted(params(infogan)[4:]) == sorted([FLAT + 1, hidden, 1290, 129, 129])

    stacked = gan.discriminator(image(), num_codes=50)
    assert stacked.output_names == ["source", "z0"]
    assert sorted(params(stacked)[4:]) == sorted([FLAT + 1, (FLAT + 1) * 50])

    x = np.random.default_rng(0).uniform(0, 1, (5, 28, 28, 1)).astype("float32") * 100
    source, label, code1, code2 = infogan.predict(x, verbose=0)
    np.testing.assert_allclose(label.sum(axis=1), 1, rtol=1e-5)
    for output in source, code1, code2:
        assert output.min() >= 0
        assert output.max() <= 1
    assert np.abs(stacked.predict(x, verbose=0)[1]).max() <= 1


def test_discriminator_of_labelled_images():
    labels = keras.Input((10,))
    model = gan.discriminator(image(), labels=labels)
    assert [tensor.shape for tensor in model.inputs] == [(None, 28, 28, 1), (None, 10)]
    # the label becomes an image of 784 pixels, a second channel of the first convolution
    assert sorted(params(model)) == sorted([11 * 784, 832 + 25 * 32, *CONV[1:], FLAT + 1])
    names = kinds(model)
    assert names.index("Concatenate") < names.index("LeakyReLU")


def test_discriminator_batch_norm():
    block = ["BatchNormalization", "LeakyReLU", "Conv2D"]
    model = gan.discriminator(image(), batch_norm=True)
    assert kinds(model)[:-3] == ["LeakyReLU", "Conv2D", *3 * block]
    assert "BatchNormalization" not in kinds(gan.discriminator(image()))


def test_batch_normalization_is_that_of_keras_2():
    x = np.random.default_rng(0).normal(3, 2, (4, 3, 3, 2)).astype("float32")
    layer = keras2.batch_normalization()
    y = layer(x, training=True)
    mean, variance = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(variance + 1e-3), atol=1e-5)
    unbiased = variance * 36 / 35
    np.testing.assert_allclose(layer.moving_mean, 0.01 * mean, rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, 0.99 + 0.01 * unbiased, rtol=1e-5)
    y = layer(x, training=False)
    mean, variance = layer.moving_mean.numpy(), layer.moving_variance.numpy()
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(variance + 1e-3), rtol=1e-5)


def test_each_model_trains_its_own_network_alone():
    """The adversarial model leaves batch normalization's averages in the discriminator too."""
    images = keras.Input((4, 4, 1))
    parts = gan.generator(keras.Input((6,)), 4), gan.discriminator(images, batch_norm=True)
    adversarial = gan.Adversarial(*parts)
    for model, x, own in (
        (adversarial, np.ones((8, 6), "float32"), parts[0]),
        (parts[1], np.ones((8, 4, 4, 1), "float32"), parts[1]),
    ):
        model.compile("sgd", "mse")
        before = [part.get_weights() for part in parts]
        model.train_on_batch(x, np.ones((8, 1)))
        for part, old in zip(parts, before, strict=True):
            moved = [(a != b).any() for a, b in zip(part.get_weights(), old, strict=True)]
            assert any(moved) == (part is own)


def test_what_is_built_is_plain_keras(tmp_path):
    """Copies, saves and loads by Keras's own means; no layer is a class of lib."""
    discriminator = gan.discriminator(keras.Input((4, 4, 1)), num_labels=10, batch_norm=True)
    discriminator.compile(keras2.RMSprop(1e-3, 1e-4), ["binary_crossentropy"] * 2)
    discriminator.train_on_batch(np.ones((2, 4, 4, 1)), [np.ones((2, 1)), np.eye(10)[:2]])
    for model in gan.generator(keras.Input((6,)), 4), discriminator:
        x = np.random.default_rng(1).random((2, *model.input_shape[1:]), "f4")
        expected = np.concatenate([np.ravel(y) for y in keras.tree.flatten(model(x))])
        keras.models.clone_model(model)
        keras.models.model_from_json(model.to_json())
        assert {type(layer).__module__.partition(".")[0] for layer in model.layers} == {"keras"}
        for suffix in ".keras", ".h5":
            path = tmp_path / f"{model.name}{suffix}"
            model.save(path)
            loaded = keras.models.load_model(path)
            found = np.concatenate([np.ravel(y) for y in keras.tree.flatten(loaded(x))])
            np.testing.assert_allclose(found, expected, atol=1e-5)
    optimizer = keras.models.load_model(tmp_path / "discriminator.keras").optimizer
    assert optimizer.get_config() == discriminator.optimizer.get_config()
    for old, new in zip(discriminator.optimizer.variables, optimizer.variables, strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("side", [30, 31, 0, 260])
def test_a_side_that_cannot_be_drawn_is_refused(side):
    with pytest.raises(UserError, match=f"image_size {side}: it must be divisible by 4"):
        gan.generator(keras.Input((100,)), side)


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_saturated_discriminator_keeps_its_gradient(precision):
    # Through a clipped probability the gradient at a logit of -50 would be zero.
    import tensorflow as tf

    keras.mixed_precision.set_global_policy(precision)
    model = gan.discriminator(image())
    keras.mixed_precision.set_global_policy("float32")
    model.compile("sgd", "binary_crossentropy")
    kernel, bias = model.layers[-2].get_weights()
    model.layers[-2].set_weights([kernel * 0, bias - 50])

    @tf.function
    def gradient():
        with tf.GradientTape() as tape:
            y_pred = model(tf.ones((2, 28, 28, 1)), training=True)
            loss = model.compute_loss(y=tf.ones((2, 1)), y_pred=y_pred)
        return loss, tape.gradient(loss, model.layers[-2].bias.value)

    loss, slope = gradient()
    np.testing.assert_allclose(loss, 50, rtol=1e-5)
    np.testing.assert_allclose(slope, [-1], rtol=1e-5)
