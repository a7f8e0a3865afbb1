"""CGAN, the conditional GAN, on MNIST, which the chapter measures ACGAN by.

A DCGAN in which generator and discriminator are both told the digit: the discriminator
judges whether the image is a real image of that digit.

Mirza and Osindero: Conditional Generative Adversarial Nets, 2014, arXiv:1411.1784.

train:   python3 cgan-mnist.py
sample:  python3 cgan-mnist.py --generator=cgan_mnist.h5 --digit=3
"""

from functools import partial

from lib import data, distribute, flags, gan
from lib.run import Run, figures

import tensorflow as tf
from tensorflow import keras


def train(models, x_train, y_train, params):
    """Alternate between discriminator and generator.

    Args:
        models: (generator, discriminator, adversarial), the last two compiled.
        x_train: uint8 (N, side, side, 1), or float32 in [0, 1].
        y_train: one-hot labels, float32 (N, num_labels).
        params: the script's flags.
    """
    generator, discriminator, adversarial = models
    num_labels = y_train.shape[1]
    draw = data.Sampler(params, x_train, y_train)
    noise_input = draw.noise(16)
    noise_label = tf.one_hot(tf.range(16) % num_labels, num_labels)
    real, fake = tf.ones((draw.batch_size, 1)), tf.zeros((draw.batch_size, 1))

    @distribute.step
    def train_step():
        # the discriminator: one batch, real images (1.0) and fake ones (0.0), each beside
        # its label
        real_images, real_labels = draw.labelled_images()
        noise, fake_labels = draw.noise(), draw.labels()
        fake_images = generator([noise, fake_labels], training=False)
        x = tf.concat([real_images, fake_images], axis=0)
        y = tf.concat([real, fake], axis=0)
        labels = tf.concat([real_labels, fake_labels], axis=0)
        discriminator.train_step(([x, labels], y))
        # the generator: fresh noise and labels, to be taken for real
        noise, fake_labels = draw.noise(), draw.labels()
        adversarial.train_step(([noise, fake_labels], real))
        return figures(discriminator, adversarial)

    gan.print_labels(noise_label)
    plot = partial(gan.plot_images, generator, noise_input, noise_label)
    run = Run(models, draw.rng, params, plot)
    for _ in run:
        run.log(train_step())


def build_models(params, image_size, num_labels):
    """Generator, discriminator and adversarial model, the last two compiled."""
    noise = keras.Input((params.latent_size,), name="z_input")
    labels = keras.Input((num_labels,), name="class_labels")
    images = keras.Input((image_size, image_size, 1), name="discriminator_input")
    generator = gan.generator(noise, image_size, labels=labels)

    discriminator = gan.discriminator(images, labels=labels)
    discriminator.compile(
        loss="binary_crossentropy",
        optimizer=gan.RMSprop(params.lr, params.decay),
        metrics=["accuracy"],
    )
    adversarial = gan.Adversarial(generator, discriminator, name=params.model_name)
    adversarial.compile(
        loss="binary_crossentropy",
        optimizer=gan.RMSprop(params.lr / 2, params.decay / 2),
        metrics=["accuracy"],
    )
    return generator, discriminator, adversarial


def build_and_train_models(params):
    x_train, y_train = data.load(params.data)
    models = build_models(params, x_train.shape[1], y_train.shape[1])
    train(models, x_train, y_train, params)


def parser():
    return flags.Parser(__doc__, model_name="cgan_mnist", lr=2e-4, decay=6e-8, conditional=True)


if __name__ == "__main__":
    flags.main(parser(), build_and_train_models)
