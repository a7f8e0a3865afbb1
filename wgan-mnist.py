"""WGAN, the Wasserstein GAN, on MNIST.

The discriminator is a critic: its score, with no sigmoid, rises on real images and falls
on fakes. While its weights are clipped to a small box, the difference of the two means
estimates the earth mover's distance between data and fakes (up to a factor), which the
generator follows downhill even where the two don't overlap.

Arjovsky, Chintala and Bottou: Wasserstein GAN, 2017, arXiv:1701.07875.

train:   python3 wgan-mnist.py
sample:  python3 wgan-mnist.py --generator=wgan_mnist.h5
"""

from functools import partial

from lib import data, distribute, flags, gan
from lib.run import Run, figures

import tensorflow as tf
from tensorflow import keras


def wasserstein_loss(y_label, y_pred):
    """-y_label * y_pred of each image, with labels 1.0 for real and -1.0 for fake (eq. 8.33).

    Keras takes the mean over the batch, or a replica's share of it.
    """
    return -tf.reduce_mean(y_label * y_pred, axis=-1)


def clip_weights(discriminator, clip_value):
    """Clip every weight to [-clip_value, clip_value], which bounds the critic's slope."""
    for weight in discriminator.weights:
        weight.assign(tf.clip_by_value(weight, -clip_value, clip_value))


def train(models, x_train, params):
    """Algorithm 5.1.1: n_critic updates of the critic, then one of the generator.

    Args:
        models: (generator, discriminator, adversarial), the last two compiled.
        x_train: uint8 (N, side, side, 1), or float32 in [0, 1].
        params: the script's flags.
    """
    generator, discriminator, adversarial = models
    draw = data.Sampler(params, x_train)
    noise_input = draw.noise(16)
    real = tf.ones((draw.batch_size, 1))

    @distribute.step
    def train_step():
        for _ in range(params.n_critic):
            # real and fake in batches of their own: in a single one, labels of opposite
            # sign and small clipped weights would cancel
            real_images = draw.images()
            fake_images = generator(draw.noise(), training=False)
            discriminator.train_step((real_images, real))
            discriminator.train_step((fake_images, -real))
            clip_weights(discriminator, params.clip_value)
        # the generator: fresh noise, to be scored as real
        adversarial.train_step((draw.noise(), real))
        return figures(discriminator, adversarial)

    plot = partial(gan.plot_images, generator, noise_input)
    run = Run(models, draw.rng, params, plot)
    for _ in run:
        run.log(train_step())


def build_models(params, image_size):
    """Generator, critic and adversarial model, the last two compiled."""
    noise = keras.Input((params.latent_size,), name="z_input")
    images = keras.Input((image_size, image_size, 1), name="discriminator_input")
    generator = gan.generator(noise, image_size)

    discriminator = gan.discriminator(images, activation=None, batch_norm=params.batch_norm)
    discriminator.compile(
        loss=wasserstein_loss, optimizer=gan.RMSprop(params.lr), metrics=["accuracy"]
    )
    adversarial = gan.Adversarial(generator, discriminator, name=params.model_name)
    adversarial.compile(
        loss=wasserstein_loss, optimizer=gan.RMSprop(params.lr), metrics=["accuracy"]
    )
    return generator, discriminator, adversarial


def build_and_train_models(params):
    x_train, _ = data.load(params.data)
    train(build_models(params, x_train.shape[1]), x_train, params)


def parser():
    result = flags.Parser(__doc__, model_name="wgan_mnist", lr=5e-5)
    add = result.algorithm.add_argument
    add(
        "--n-critic",
        type=flags.whole_number(1),
        default=5,
        help="critic updates a step (%(default)s)",
    )
    add(
        "--clip-value",
        type=flags.number,
        default=0.01,
        help="bound of the critic's weights (%(default)s)",
    )
    add("--batch-norm", action="store_true", help="batch normalization in the critic (Fig. 8.5)")
    return result


if __name__ == "__main__":
    flags.main(parser(), build_and_train_models)
