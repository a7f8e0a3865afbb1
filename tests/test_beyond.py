"""WGAN-GP and InfoGAN: what their steps compute, and how an InfoGAN is drawn from."""

from lib import data, gan
from lib.generator import Generator
from lib.plumbing.errors import UserError

import numpy as np
import pytest
import tensorflow as tf
from helpers import main, script
from tensorflow import keras

wgan_gp, infogan = script("wgan-gp"), script("infogan")


def test_penalty_of_a_linear_critic():
    """A linear critic's gradient is its weights, whatever the image."""
    critic = keras.Sequential(
        [keras.Input((2, 2, 1)), keras.layers.Flatten(), keras.layers.Dense(1)]
    )
    critic.layers[-1].kernel.assign([[3.0], [0.0], [4.0], [0.0]])  # of norm 5
    penalty = wgan_gp.gradient_penalty(critic, tf.random.uniform((7, 2, 2, 1)))
    assert float(penalty) == pytest.approx(16)


def test_penalty_is_of_each_image():
    """The gradient of a critic that squares pixels is twice the image."""

    def critic(x, training):
        return tf.reduce_sum(x**2, axis=(1, 2, 3))

    images = tf.constant([[0.3, 0.4], [1.5, 2.0]], shape=(2, 1, 2, 1))  # gradients 1, 5
    assert float(wgan_gp.gradient_penalty(critic, images)) == pytest.approx((0 + 16) / 2)


class Draws:
    """Draws what it is given, in order, as a Sampler."""

    def __init__(self, images, noise, epsilon):
        self.batch_size = len(images[0])
        self.images, self.noise, self.rng = iter(images).__next__, iter(noise).__next__, self
        self.uniform = lambda shape: next(epsilons)
        epsilons = iter(epsilon)


def test_an_update_of_the_critic_follows_the_joint_loss():
    """Descends mean D(g(z)) - mean D(x) + lambda penalty, by its analytic gradient."""
    inputs = keras.Input((1, 2, 1))
    dense = keras.layers.Dense(1, use_bias=False)
    critic = keras.Model(inputs, dense(keras.layers.Flatten()(inputs)))
    weights = np.array([[3.0], [4.0]], np.float32)
    dense.kernel.assign(weights)
    critic.compile(optimizer=keras.optimizers.SGD(0.5))
    noise = keras.Input((2,))
    generator = keras.Model(noise, keras.layers.Reshape((1, 2, 1))(noise))
    x, z = np.random.default_rng(1).uniform(size=(2, 4, 2)).astype(np.float32)
    draw = Draws([x.reshape(4, 1, 2, 1)], [z], [np.full((4, 1, 1, 1), 0.5, np.float32)])
    params = wgan_gp.parser.parse_args(["--penalty-weight=2"])
    estimate, penalty = wgan_gp.critic_step((generator, critic, None), draw, params)
    means = x.mean(axis=0) - z.mean(axis=0)
    assert float(estimate) == pytest.approx(float(means @ weights[:, 0]), rel=1e-4)
    assert float(penalty) == pytest.approx(16)
    # the gradient of (|w| - 1)^2 is 2 (|w| - 1) w / |w|
    gradient = -means[:, np.newaxis] + 2 * 2 * (5 - 1) * weights / 5
    np.testing.assert_allclose(dense.kernel, weights - 0.5 * gradient, rtol=1e-4)


@pytest.fixture
def models():
    """Build an InfoGAN and a sampler of black images."""
    keras.utils.set_random_seed(1)
    dataset = data.dataset(np.zeros((8, 4, 4), np.uint8))
    params = infogan.parser.parse_args(["--batch-size=4", "--latent-size=6", "--seed=1"])
    return infogan.build_models(params, dataset), data.Sampler(params, dataset), params


def test_the_discriminators_loss_is_the_sum_by_hand(models):
    """Q judges the fakes alone; all is divided by the whole batch."""
    (generator, discriminator, adversarial), draw, params = models
    before = discriminator.get_weights()
    again = data.Sampler(params, draw.dataset)
    noise, codes = again.noise(), again.codes(10)
    x = tf.concat([again.images(), generator([noise, *codes], training=False)], axis=0)
    source, category, *recovered = (output.numpy() for output in discriminator(x))
    expected = -np.log(source[:4]).mean() / 2 - np.log(1 - source[4:]).mean() / 2
    expected -= (codes[0].numpy() * np.log(category[4:])).sum(axis=1).mean() / 2
    for code, head in zip(codes[1:], recovered, strict=True):
        expected += 2 * np.square(code.numpy() - head[4:]).mean() / 2
    metrics = infogan.gan_step((generator, discriminator, adversarial), draw, params)
    assert float(metrics["discriminator_loss"]) == pytest.approx(float(expected), rel=1e-4)
    assert any((a != b).any() for a, b in zip(before, discriminator.get_weights(), strict=True))


def test_the_generator_learns_through_q(models):
    """With a discriminator that says nothing of real or fake, the codes alone move it."""
    (generator, discriminator, adversarial), draw, _ = models
    dense = [layer for layer in discriminator.layers if isinstance(layer, keras.layers.Dense)]
    source = next(layer for layer in dense if layer.output.shape[1] == 1)
    source.kernel.assign(tf.zeros_like(source.kernel))
    before = generator.get_weights()
    noise, codes = draw.noise(), draw.codes(10)
    adversarial.train_step(([noise, *codes], (tf.ones((4, 1)), *codes)))
    assert any((a != b).any() for a, b in zip(before, generator.get_weights(), strict=True))


def test_category_and_codes(tmp_path, monkeypatch, capsys, models):
    """Draws a trained InfoGAN by category and codes; its grid sweeps the codes otherwise."""
    (generator, _, _), _, _ = models
    described = Generator(generator)
    noise, labels, *codes = described.inputs(16, 1, 3, layout="sweep")
    assert (noise == noise[0]).all()
    assert (labels.argmax(axis=1) == 3).all()
    np.testing.assert_allclose(codes[0].reshape(4, 4), [np.linspace(0, 1, 4)] * 4)
    np.testing.assert_allclose(codes[1].reshape(4, 4).T, [np.linspace(0, 1, 4)] * 4)
    noise, _, *codes = described.inputs(16, 1, codes=(0.25, 1.0), layout="sweep")
    assert len(np.unique(noise[:, 0])) == 16
    assert [np.unique(code).tolist() for code in codes] == [[0.25], [1.0]]
    noise, _, *codes = described.inputs(16, 1, codes=(None, 1.0), layout="walk")
    assert len(np.unique(noise[:, 0])) == 16
    assert [np.unique(code).tolist() for code in codes] == [[0.5], [1.0]]
    path = gan.plot_images(
        generator, noise, labels, codes, step=1, model_name=str(tmp_path / "drawn")
    )
    assert path.exists()

    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (8, 8, 8), np.uint8)
    np.savez("own.npz", x_train=images)
    flags = ["--data=own.npz", "--train-steps=1", "--batch-size=2", "--latent-size=6", "--seed=1"]
    assert main("infogan", flags, monkeypatch) == 0
    for name in "infogan_own/00001.png", "infogan_own/code1/00001.png":
        assert (tmp_path / name).exists()
    command = capsys.readouterr().out.splitlines()[-1].split()
    assert main("infogan", [*command[2:], "--category=3", "--seed=1"], monkeypatch) == 0
    assert main("infogan", [*command[2:], "--code1=0.5", "--seed=1"], monkeypatch) == 0
    assert main("infogan", [*command[2:], "--npz=drawn.npz", "--count=20"], monkeypatch) == 0
    assert len(np.unique(np.load("drawn.npz")["x_train"], axis=0)) == 20
    assert main("acgan", [*command[2:], "--digit=3"], monkeypatch) == 2
    assert "sample from it with infogan-mnist.py" in capsys.readouterr().err
    assert main("infogan", [*command[2:], "--code1=2"], monkeypatch) == 2
    assert Generator.load("infogan_own.h5").num_codes == 2


def test_no_category():
    generator = gan.generator(keras.Input((6,)), 4)
    with pytest.raises(UserError, match="noise alone"):
        gan.test_generator(generator, class_label=1, show=False)
