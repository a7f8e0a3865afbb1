"""Losses and updates against values worked out by hand."""

from lib import data, keras2

import numpy as np
import pytest
import tensorflow as tf
from helpers import TOY_IMAGES, script
from tensorflow import keras

DATASET = data.dataset(TOY_IMAGES, np.arange(64) % 10)


def column(*values):
    return tf.constant(values, shape=(len(values), 1), dtype=tf.float32)


def test_wasserstein_loss():
    loss = script("wgan").wasserstein_loss
    real, fake = column(1, 1, 1), column(-1, -1, -1)
    score = column(0.5, -0.25, 2.0)
    np.testing.assert_array_equal(loss(real, score), [-0.5, 0.25, -2.0])
    np.testing.assert_array_equal(loss(fake, score), [0.5, -0.25, 2.0])


def test_wasserstein_estimate_is_the_difference_of_the_mean_scores():
    module = script("wgan")
    flags = ["--lr=0", "--clip-value=1", "--n-critic=2", "--batch-size=8", "--seed=1"]
    params = module.parser.parse_args(flags)
    generator, critic, _ = models = module.build_models(params, DATASET)
    draw, differences = data.Sampler(params, DATASET), []
    for _ in range(params.n_critic):
        scores = critic(draw.images()), critic(generator(draw.noise()))
        differences.append(np.mean(scores[0]) - np.mean(scores[1]))
    # the same draws once more
    metrics = module.gan_step(models, data.Sampler(params, DATASET), params)
    np.testing.assert_allclose(metrics["wasserstein_estimate"], np.mean(differences), rtol=1e-4)


def test_clip_weights_takes_biases_too():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    model.set_weights([np.array([[0.5, -0.5], [0.002, -0.002]]), np.array([3.0, -0.004])])
    script("wgan").clip_weights(model, 0.01)
    kernel, bias = model.get_weights()
    np.testing.assert_allclose(kernel, [[0.01, -0.01], [0.002, -0.002]])
    np.testing.assert_allclose(bias, [0.01, -0.004])


def built(name):
    module = script(name)
    return module.build_models(module.parser.parse_args([]), DATASET)


@pytest.mark.parametrize(
    "name, expected",
    [
        ("wgan", -(1.5 * 1 + 2.0 * 0) / 2),
        ("lsgan", (0.5**2 + 2.0**2) / 2),
        # from probabilities 0.5 for the real and 2/3 for the fake image
        ("dcgan", (np.log(2) + np.log(3)) / 2),
    ],
)
def test_discriminator_loss(name, expected):
    _, discriminator, adversarial = built(name)
    scores = (0.5, 2 / 3) if name == "dcgan" else (1.5, 2.0)
    for model in discriminator, adversarial:
        loss = model.compute_loss(y=column(1, 0), y_pred=column(*scores))
        np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_acgan_loss_sums_source_and_label():
    _, discriminator, adversarial = built("acgan")
    digits = tf.one_hot([3, 7], 10)
    probabilities = 0.4 * digits + 0.06
    expected = (np.log(2) + np.log(3)) / 2 - np.log(0.46)
    for model in discriminator, adversarial:
        loss = model.compute_loss(
            y=[column(1, 0), digits], y_pred=[column(0.5, 2 / 3), probabilities]
        )
        np.testing.assert_allclose(loss, expected, rtol=1e-4)


@pytest.mark.parametrize("name", ["dcgan", "cgan", "wgan", "lsgan", "acgan"])
def test_learning_rates(name):
    _, discriminator, adversarial = built(name)
    lr, decay = (5e-5, 0) if name == "wgan" else (2e-4, 6e-8)
    factor = 1 if name == "wgan" else 0.5
    for model, part in (discriminator, 1), (adversarial, factor):
        optimizer, weight = model.optimizer, keras.Variable([1.0])
        np.testing.assert_allclose(optimizer.learning_rate, lr * part, rtol=1e-6)
        late = type(optimizer).from_config(optimizer.get_config())
        late.build([weight])
        late.iterations.assign(10_000_000)
        late.apply([tf.constant([1.0])])  # by rate g / (sqrt(0.1 g^2) + 1e-7)
        expected = lr * part / (1 + decay * part * 10_000_000) / 0.1**0.5
        np.testing.assert_allclose(1 - weight.numpy(), expected, rtol=1e-3)


def test_rmsprop_is_that_of_keras_2():
    # v = 0.9 v + 0.1 g^2; w -= lr g / (sqrt(v) + 1e-7), for gradients large and tiny
    gradients = np.array([1.0, 1e-4, 1e-7, -1e-8], np.float32)
    weight = tf.Variable(np.zeros(4, np.float32))
    optimizer = keras2.RMSprop(0.01)
    w = v = np.zeros(4)
    for size in 1, 1e-3, 1:
        optimizer.apply([tf.constant(size * gradients)], [weight])
        v = 0.9 * v + 0.1 * (size * gradients.astype(float)) ** 2
        w = w - 0.01 * size * gradients / (np.sqrt(v) + 1e-7)
    np.testing.assert_allclose(weight, w, rtol=1e-5)
