"""benchmarks.critic: its step is the script's, and it measures what it says."""

from benchmarks import critic
from lib import data

import numpy as np
import pytest
import tensorflow as tf
from helpers import script
from tensorflow import keras

wgan = script("wgan")


def trained(step, joint=False, training_mode_fakes=False):
    """The weights of a WGAN of 8 x 8 images after two steps."""
    keras.utils.set_random_seed(1)
    dataset = data.dataset(np.random.default_rng(1).integers(256, size=(8, 8, 8), dtype=np.uint8))
    params = wgan.parser.parse_args(["--batch-size=4", "--n-critic=2", "--seed=1"])
    params.joint, params.training_mode_fakes = joint, training_mode_fakes
    models = wgan.build_models(params, dataset)
    draw = data.Sampler(params, dataset)
    for _ in range(2):
        step(models, draw, params)
    return np.concatenate([np.ravel(w) for model in models[:2] for w in model.get_weights()])


def test_its_step_is_the_scripts():
    """Unless it is told otherwise."""
    chapter = trained(wgan.gan_step)
    np.testing.assert_array_equal(trained(critic.gan_step), chapter)
    assert (trained(critic.gan_step, joint=True) != chapter).any()
    assert (trained(critic.gan_step, training_mode_fakes=True) != chapter).any()


def test_measures_of_a_linear_critic():
    """The gradient of w . x + b is x's mean and 1."""
    inputs = keras.Input((1, 2, 1))
    dense = keras.layers.Dense(1)
    net = keras.Model(inputs, dense(keras.layers.Flatten()(inputs)))
    net.set_weights([np.array([[0.01], [-0.002]], np.float32), np.array([0.01], np.float32)])
    net.compile(optimizer=wgan.RMSprop(1e-3))
    net.optimizer.build(net.trainable_variables)
    net.optimizer.velocities[0].assign([[9.0], [16.0]])
    generator = keras.Model(noise := keras.Input((2,)), keras.layers.Reshape((1, 2, 1))(noise))

    class Draw:
        batch_size = 512

        def images(self):
            return tf.constant([3.0, 4.0], shape=(1, 1, 2, 1))

        def noise(self):
            return tf.constant([[3.0, 1.0]])

    found = critic.measures((generator, net, None), Draw(), clip_value=0.01)
    real, fake = 0.03 - 0.008 + 0.01, 0.03 - 0.002 + 0.01
    wanted = [real, fake, 2 / 3, 26**0.5, 11**0.5, 3, 5]
    assert found == pytest.approx(wanted, rel=1e-5)
