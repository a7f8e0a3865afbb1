"""Networks of one's own: whatever Keras has trains, resumes, and is drawn as it was trained."""

import re
from argparse import Namespace
from pathlib import Path

from lib import gan
from lib.generator import Generator
from lib.keras2 import RMSprop
from lib.plumbing.errors import UserError

import numpy as np
import pytest
import tensorflow as tf
from helpers import assert_same_weights
from tensorflow import keras

L = keras.layers
SIDE, LATENT = 8, 6
IMAGES = np.random.default_rng(0).integers(0, 256, (64, SIDE, SIDE), np.uint8)


@keras.utils.register_keras_serializable("own")
class Shift(L.Layer):
    """A layer of one's own, with a weight and a setting."""

    def __init__(self, by=0.5, **settings):
        super().__init__(**settings)
        self.by = by

    def build(self, shape):
        self.scale = self.add_weight(shape=(), initializer="ones")

    def call(self, x):
        return self.scale * x + self.by

    def get_config(self):
        return super().get_config() | {"by": self.by}


class Nested(L.Layer):
    """Has its layers in a list, where TensorFlow's checkpoints find none."""

    def __init__(self):
        super().__init__()
        self.blocks = [L.Dense(4), L.Dropout(0.5)]

    def build(self, shape):
        self.blocks[0].build(shape)

    def call(self, x, training=None):
        return self.blocks[1](self.blocks[0](x), training=training)


def dense(units, x, **settings):
    return L.Dense(units, **settings)(x)


def upsampled(x, norm):
    """Draw by upsampling and convolution, from noise x."""
    x = L.Reshape((2, 2, 8))(dense(32, x))
    for _ in range(2):
        x = norm()(L.Conv2D(8, 3, padding="same")(L.UpSampling2D()(x)))
        x = L.LeakyReLU(negative_slope=0.2)(x)
    return L.Conv2D(1, 3, padding="same", activation="sigmoid")(x)


def residual(x):
    x = L.Reshape((SIDE, SIDE, 1))(dense(SIDE**2, x))
    block = keras.Sequential([keras.Input((SIDE, SIDE, 1)), L.Conv2D(4, 3, padding="same")])
    inner = keras.Sequential([keras.Input((SIDE, SIDE, 4)), L.Conv2D(1, 3, padding="same")])
    block.add(L.PReLU())
    block.add(inner)  # nested twice
    return L.Activation("sigmoid")(x + block(x))


def attention(x):
    x = L.Reshape((4, 8))(dense(32, x))
    x = L.LayerNormalization()(x + L.MultiHeadAttention(2, 4)(x, x))
    return image(dense(SIDE**2, L.Flatten()(x), activation="sigmoid"))


def image(x):
    return L.Reshape((SIDE, SIDE, 1))(x)


def transposed(x):
    x = L.Reshape((4, 4, 2))(dense(32, x, kernel_constraint="max_norm"))
    x = L.SpectralNormalization(L.Conv2DTranspose(4, 4, strides=2, padding="same"))(x)
    return L.Conv2D(1, 1, activation="sigmoid")(L.GroupNormalization(2)(L.ELU()(x)))


# Drawing networks of noise x.
GENERATORS = {
    "leaky relu": lambda x: image(dense(64, L.LeakyReLU()(dense(9, x)), activation="sigmoid")),
    "batch norm, upsampling": lambda x: upsampled(x, L.BatchNormalization),
    "layer norm, upsampling": lambda x: upsampled(x, L.LayerNormalization),
    "residual sum, nested blocks": residual,
    "spectral and group norm": transposed,
    "attention": attention,
    "dropout": lambda x: image(L.Dropout(0.3)(dense(64, x, activation="sigmoid"))),
    "regularized": lambda x: image(dense(64, x, kernel_regularizer=keras.regularizers.L2(1e-3))),
    "(tanh + 1) / 2": lambda x: (image(dense(64, x, activation="tanh")) + 1) / 2,
    "rescaled tanh": lambda x: L.Rescaling(0.5, 0.5)(image(dense(64, x, activation="tanh"))),
    "keras.ops": lambda x: keras.ops.sigmoid(image(dense(64, keras.ops.relu(dense(9, x))))),
    "a layer of one's own": lambda x: image(Shift()(dense(64, x, activation="gelu"))),
}


def spectral(x):
    x = L.SpectralNormalization(L.Conv2D(4, 3, strides=2))(x)
    return dense(1, L.Flatten()(L.SpatialDropout2D(0.3)(x)))


# Judging networks of images x.
DISCRIMINATORS = {
    "noise, average pooling": lambda x: dense(
        1, L.GlobalAveragePooling2D()(L.Conv2D(4, 3)(L.GaussianNoise(0.3)(x)))
    ),
    "dropout, batch norm": lambda x: dense(
        1, L.Dropout(0.4)(L.BatchNormalization()(L.Flatten()(x)))
    ),
    "spectral norm, spatial dropout": spectral,
    "regularized": lambda x: dense(1, L.Flatten()(x), kernel_regularizer="l2"),
    "augmentation": lambda x: dense(1, L.Flatten()(L.RandomFlip(seed=3)(x))),
    "a layer of one's own": lambda x: dense(1, Shift(0.1)(L.Flatten()(x))),
}


SEQUENTIAL = (
    lambda x: keras.Sequential([keras.Input((LATENT,)), L.Dense(64), L.Reshape((SIDE, SIDE, 1))]),
    lambda x: keras.Sequential([keras.Input((SIDE, SIDE, 1)), L.Flatten(), Nested(), L.Dense(1)]),
)


def models(draw, judge, optimizer=lambda: RMSprop(0.01), channels=1):
    """Build and compile a GAN of such networks."""
    keras.utils.set_random_seed(1)
    noise, images = keras.Input((LATENT,)), keras.Input((SIDE, SIDE, channels))
    drawn, judged = draw(noise), judge(images)
    generator = drawn if isinstance(drawn, keras.Model) else keras.Model(noise, drawn)
    discriminator = judged if isinstance(judged, keras.Model) else keras.Model(images, judged)
    adversarial = gan.Adversarial(generator, discriminator)
    for model in discriminator, adversarial:
        model.compile(loss="mse", optimizer=optimizer())
    return generator, discriminator, adversarial


def train(name, steps, networks, images=IMAGES, **settings):
    params = Namespace(
        model_name=name, train_steps=steps, batch_size=4, latent_size=LATENT, seed=1, **settings
    )
    gan.train(networks, images, params)
    return networks


def train_and_resume(name, build, images=IMAGES):
    """Train four steps; take the last again, from the checkpoint before it; return the models."""
    whole = train(name, 4, build(), images, save_interval=3)
    picture = Path(name, "00004.png").read_bytes()
    Path(name, "checkpoints", "ckpt-4.index").unlink()
    resumed = train(name, 4, build(), images, save_interval=3, resume=True)
    assert_same_weights(resumed, whole)
    assert Path(name, "00004.png").read_bytes() == picture
    return whole


def assert_drawn_as_trained(generator, path):
    loaded = Generator.load(path)
    inputs = loaded.inputs(8, seed=2)
    expected = gan.draw_images(generator, inputs)
    np.testing.assert_allclose(loaded.draw(inputs), expected, atol=1e-6)
    assert np.ptp(expected, axis=(0, 1, 2)).min() > 0.01
    plain = keras.models.load_model(path, compile=False)
    np.testing.assert_allclose(gan.draw_images(plain, inputs), expected, atol=1e-6)


SCHEDULE = keras.optimizers.schedules.CosineDecay(0.01, 10)
OPTIMIZERS = {
    "AdamW": lambda: keras.optimizers.AdamW(0.01, clipnorm=1.0),
    "schedule, accumulation": lambda: RMSprop(SCHEDULE, gradient_accumulation_steps=2),
}


@pytest.mark.parametrize("number, optimizer", [*enumerate(OPTIMIZERS)])
def test_networks_train_resume_and_are_drawn_as_they_were_trained(
    number, optimizer, tmp_path, monkeypatch
):
    """Trains six drawing networks, two for each colour, and three judges, one for each colour.

    Where several judge one colour, TensorFlow adds their gradients in an order of the moment.
    """
    monkeypatch.chdir(tmp_path)
    draws, judges = ([*all_.values()][number::2] for all_ in (GENERATORS, DISCRIMINATORS))
    assert (len(draws), len(judges)) == (6, 3)  # all of them

    def build():
        return models(
            lambda x: L.Concatenate()(
                [L.Average()([draws[c](x), draws[c + 3](x)]) for c in range(3)]
            ),
            lambda x: L.Add()([judges[c](x[..., c : c + 1]) for c in range(3)]),
            OPTIMIZERS[optimizer],
            channels=3,
        )

    images = np.stack([IMAGES, IMAGES[::-1], 255 - IMAGES], axis=-1)
    generator, *_ = train_and_resume("own", build, images)
    assert_drawn_as_trained(generator, "own.h5")


def test_averaged_weights_are_drawn_and_saved(tmp_path, monkeypatch):
    """Training goes on from the weights themselves. Both networks are Sequential."""
    monkeypatch.chdir(tmp_path)
    plain = train("plain", 4, models(*SEQUENTIAL))
    assert_drawn_as_trained(plain[0], "plain.h5")
    averaging = {"use_ema": True, "ema_momentum": 0.9}
    averaging_models = train_and_resume(
        "own", lambda: models(*SEQUENTIAL, lambda: RMSprop(0.01, **averaging))
    )
    assert_same_weights(averaging_models, plain)
    averaged = Generator.load("own.h5").model.get_weights()
    assert not np.array_equal(averaged[0], plain[0].get_weights()[0])
    assert Path("own", "00004.png").read_bytes() != Path("plain", "00004.png").read_bytes()


def test_the_learning_rate_can_be_set_between_runs():
    layer = L.Dense(1, use_bias=False, kernel_initializer="ones")
    model = keras.Sequential([keras.Input((1,)), layer])
    optimizer = RMSprop(lr=0.1, decay=1.0, rho=0.0)  # the first step is 0.1, the second 0.05
    model.compile(loss="mae", optimizer=optimizer)

    def moved():
        before = float(layer.kernel[0, 0])
        model.train_on_batch(np.ones((1, 1)), np.zeros((1, 1)))
        return before - float(layer.kernel[0, 0])

    np.testing.assert_allclose([moved(), moved()], [0.1, 0.05], rtol=1e-5)
    optimizer.learning_rate = 0.3
    np.testing.assert_allclose(moved(), 0.1, rtol=1e-5)
    assert RMSprop.from_config(optimizer.get_config()).constants == optimizer.constants


def test_the_frozen_discriminator_keeps_dropout_and_its_averages():
    images = keras.Input((SIDE, SIDE, 1))
    x = L.BatchNormalization()(L.Flatten()(images))
    discriminator = keras.Model(images, L.Dense(1)(L.Dropout(0.5)(x)))
    discriminator.layers[-1].trainable = False  # a setting of the script's own
    noise = keras.Input((LATENT,))
    adversarial = gan.Adversarial(keras.Model(noise, image(dense(64, noise))), discriminator)
    z, before = np.ones((4, LATENT), np.float32), discriminator.get_weights()
    first, second = (adversarial(z, training=True).numpy() for _ in range(2))
    assert (first != second).any()
    np.testing.assert_array_equal(adversarial(z), adversarial(z))
    for old, new in zip(before, discriminator.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert [layer.trainable for layer in discriminator.layers] == 4 * [True] + [False]


def test_noise_and_range_of_one_s_own(tmp_path, monkeypatch):
    """Trains on images in [-1, 1] and normal noise; the file knows, and a notebook's model."""
    monkeypatch.chdir(tmp_path)
    real = []

    def step(networks, draw, params):
        real.append(draw.images())
        return gan.gan_step(networks, draw, params)

    networks = models(
        lambda x: image(dense(64, x, activation="tanh")), DISCRIMINATORS["noise, average pooling"]
    )
    params = {"batch_size": 4, "latent_size": LATENT, "seed": 1, "train_steps": 2}
    own = {"noise": "normal", "image_range": (-1, 1), "model_name": "own"}
    tf.config.run_functions_eagerly(True)
    try:
        gan.train(networks, IMAGES, Namespace(**params, **own), step)
    finally:
        tf.config.run_functions_eagerly(False)
    assert -1 <= float(real[0][0].numpy().min()) < -0.5 < 0.5 < real[0].numpy().max() <= 1
    loaded, described = Generator.load("own.h5"), Generator.of(networks[0])
    for generator in loaded, described:
        assert (generator.noise, generator.image_range) == ("normal", (-1, 1))
    z = loaded.inputs(8, seed=1)
    np.testing.assert_allclose(loaded.draw(z), (networks[0](z[0]) + 1) / 2, atol=1e-6)


def two_outputs(x):
    return [dense(1, L.Flatten()(x)), dense(2, L.Flatten()(x))]


def lambda_layer(x):
    return image(L.Lambda(lambda y: y / 2, output_shape=(64,))(dense(64, x)))


class Unregistered(L.Layer):
    def call(self, x):
        return x


@keras.utils.register_keras_serializable("own")
class Forgetful(Unregistered):
    """Lacks in its description what its constructor needs."""

    def __init__(self, number, **settings):
        super().__init__(**settings)

    def get_config(self):
        return {}


DRAW, JUDGE = GENERATORS["leaky relu"], DISCRIMINATORS["regularized"]
MISTAKES = {
    "generator has a layer of code (Lambda), which no file": lambda: models(lambda_layer, JUDGE),
    "generator has Unregistered, which is not Keras's own": lambda: models(
        lambda x: Unregistered()(DRAW(x)), JUDGE
    ),
    "isn't built: begin it with keras.Input": lambda: models(
        lambda x: keras.Sequential([L.Dense(64), L.Reshape((8, 8, 1))]), JUDGE
    ),
    "this discriminator has heads: give a step": lambda: models(DRAW, two_outputs),
    "draws in [0, 1], and trains on images in [-1, 1]": lambda: models(
        lambda x: L.Activation("sigmoid")(image(dense(64, x))), JUDGE
    ),
    "get_config of its layers gives: see that these name all": lambda: models(
        lambda x: image(Forgetful(3)(dense(64, x))), JUDGE
    ),
    "draws images of (16, 16, 1), the discriminator takes (8, 8, 1)": lambda: models(
        lambda x: L.UpSampling2D()(DRAW(x)), JUDGE
    ),
}


@pytest.mark.parametrize("words", MISTAKES)
def test_mistakes_in_networks(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = {"image_range": (-1, 1)} if "[-1, 1]" in words else {}
    with pytest.raises(UserError, match=re.escape(words)):
        train("own", 1, MISTAKES[words](), **own)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    "change, words",
    [
        ({"images": IMAGES[:, :4, :4]}, "of (8, 8, 1), the data's are (4, 4, 1)"),
        ({"trainsteps": 3}, "params has trainsteps: did you mean train_steps?"),
        ({"latent_size": 5}, "noise of width 6, and params has latent_size 5"),
        ({"noise": "loud"}, "noise 'loud' is unknown: give one of uniform, normal"),
        ({"image_range": (0, 255)}, "image_range is (0, 255): give (0, 1) or (-1, 1)"),
        ({"compiled": False}, "isn't compiled"),
        ({"step": lambda *_: None}, "a step has to return metrics by name"),
        ({"step": lambda models, draw, params: draw.labels()}, "an array came without labels"),
    ],
)
def test_mistakes_in_params(change, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    networks = models(*SEQUENTIAL)
    if not change.pop("compiled", True):
        networks = *networks[:2], gan.Adversarial(*networks[:2])
    images, step = change.pop("images", IMAGES), change.pop("step", gan.gan_step)
    params = {"model_name": "own", "train_steps": 1, "batch_size": 4, "latent_size": 6, "seed": 1}
    with pytest.raises(UserError, match=re.escape(words)):
        gan.train(networks, images, Namespace(**params | change), step)
    assert not [*tmp_path.rglob("*.h5")]
