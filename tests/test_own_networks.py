"""Networks of one's own: whatever Keras has trains, resumes, and is drawn as it was trained."""

from argparse import Namespace

from lib import gan
from lib.generator import Generator
from lib.keras2 import RMSprop

import numpy as np
import pytest
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
    return dense(1, L.Flatten()(x))


# Judging networks of images x.
DISCRIMINATORS = {
    "noise": lambda x: dense(1, L.Flatten()(L.GaussianNoise(0.3)(x))),
    "dropout, batch norm": lambda x: dense(
        1, L.Dropout(0.4)(L.BatchNormalization()(L.Flatten()(x)))
    ),
    "spectral norm": spectral,
    "regularized": lambda x: dense(1, L.Flatten()(x), kernel_regularizer="l2"),
    "average pooling": lambda x: dense(1, L.GlobalAveragePooling2D()(L.Conv2D(4, 3)(x))),
    "spatial dropout": lambda x: dense(1, L.Flatten()(L.SpatialDropout2D(0.3)(L.Conv2D(4, 3)(x)))),
    "augmentation": lambda x: dense(1, L.Flatten()(L.RandomFlip(seed=3)(x))),
    "a layer of one's own": lambda x: dense(1, Shift(0.1)(L.Flatten()(x))),
}


def models(draw, judge, optimizer=lambda: RMSprop(0.01)):
    """Build and compile a GAN of such networks; Sequential where they are lists of layers."""
    keras.utils.set_random_seed(1)
    noise, images = keras.Input((LATENT,)), keras.Input((SIDE, SIDE, 1))
    generator = keras.Model(noise, draw(noise)) if callable(draw) else keras.Sequential(draw)
    discriminator = (
        keras.Model(images, judge(images)) if callable(judge) else keras.Sequential(judge)
    )
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


def weights(networks):
    return [weight for model in networks[:2] for weight in model.get_weights()]


def assert_whole_and_in_parts_are_equal(build, **settings):
    """Train four steps, and two and two; return the generator after the first."""
    whole = train("whole", 4, build(), **settings)
    train("parts", 2, build(), **settings)
    parts = train("parts", 4, build(), resume=True, **settings)
    for one, other in zip(weights(whole), weights(parts), strict=True):
        np.testing.assert_array_equal(one, other)
    return whole[0]


SEQUENTIAL = (
    [keras.Input((LATENT,)), L.Dense(64, activation="sigmoid"), L.Reshape((SIDE, SIDE, 1))],
    [keras.Input((SIDE, SIDE, 1)), L.Flatten(), L.Dropout(0.3), L.Dense(1)],
)
names = [*DISCRIMINATORS]
PAIRS = {
    f"{name} | {names[n % len(names)]}": (draw, DISCRIMINATORS[names[n % len(names)]])
    for n, (name, draw) in enumerate(GENERATORS.items())
} | {"Sequential": SEQUENTIAL}


@pytest.fixture(scope="session")
def drawn_afresh(tmp_path_factory):
    """Return the files of all pairs, and what a process that has only plain Keras draws by them."""
    folder = tmp_path_factory.mktemp("own")
    return folder


@pytest.mark.parametrize("pair", PAIRS)
def test_a_network_trains_resumes_and_is_drawn_as_it_was_trained(pair, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    generator = assert_whole_and_in_parts_are_equal(lambda: models(*PAIRS[pair]))
    loaded = Generator.load("whole.h5")
    inputs = loaded.inputs(8, seed=2)
    expected = gan.draw_images(generator, inputs)
    np.testing.assert_allclose(loaded.draw(inputs), expected, atol=1e-6)
    assert np.ptp(expected) > 0.01
    plain = keras.models.load_model("whole.h5", compile=False)
    np.testing.assert_allclose(gan.draw_images(plain, inputs), expected, atol=1e-6)
