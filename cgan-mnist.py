"""CGAN, the conditional GAN, on MNIST, which the chapter measures ACGAN by.

A DCGAN in which generator and discriminator are both told the digit: the
discriminator judges whether the image is a real image of that digit.

Mirza and Osindero: Conditional Generative Adversarial Nets, 2014,
arXiv:1411.1784.

train:   python3 cgan-mnist.py
sample:  python3 cgan-mnist.py --generator=cgan_mnist.h5 --digit=3
"""

from lib.program.flags import Parser

# The chapter's values.
parser = Parser(__doc__, model_name="cgan_mnist", conditional=True)
parser.add_hyperparameter("--train-steps", 40000, "take this many updates of the generator")
parser.add_hyperparameter("--lr", 2e-4, "learn at this rate; the generator at half of it")
parser.add_hyperparameter("--decay", 6e-8, "divide the rate by 1 + decay * step (generator: half)")
parser.add_hyperparameter("--batch-size", 64, "train on this many real images, and as many fakes")
parser.add_hyperparameter("--latent-size", 100, "draw noise of this width")

parser.begin(__name__)  # ends on --help or a wrong flag, before what takes seconds to import

from functools import partial

from lib import data, gan
from lib.keras2 import RMSprop
from lib.program.main import main
from lib.training.run import open_run
from lib.training.step import compile_step

import tensorflow as tf
from tensorflow import keras


def build_models(params, dataset):
    """Build generator, discriminator and adversarial model; compile the last two."""
    noise = keras.Input((params.latent_size,), name="z_input")
    labels = keras.Input((dataset.num_labels,), name="class_labels")
    images = keras.Input(dataset.image_shape, name="discriminator_input")
    generator = gan.generator(noise, dataset.image_size, labels=labels, channels=dataset.channels)

    discriminator = gan.discriminator(images, labels=labels)
    # RMSprop as Keras 2 has it: rho 0.9, and division by sqrt(v) + 1e-7
    discriminator.compile(
        loss="binary_crossentropy",
        optimizer=RMSprop(params.lr, params.decay),
        metrics=["accuracy"],
    )
    # generator, then discriminator. This model trains the generator's weights only, and leaves
    # the discriminator as it is, whose batch normalization takes its moving averages
    adversarial = gan.Adversarial(generator, discriminator, name=params.model_name)
    adversarial.compile(
        loss="binary_crossentropy",
        optimizer=RMSprop(params.lr / 2, params.decay / 2),
        metrics=["accuracy"],
    )
    return generator, discriminator, adversarial


def gan_step(models, draw, params):
    """Take one update of the discriminator, then one of the generator."""
    generator, discriminator, adversarial = models
    real, fake = tf.ones((draw.batch_size, 1)), tf.zeros((draw.batch_size, 1))
    # the discriminator: one batch, real images (1.0) and fake ones (0.0), each beside
    # its label
    real_images, real_labels = draw.labelled_images()
    noise, fake_labels = draw.noise(), draw.labels()
    # inference mode: the listing draws these with `predict`, by moving averages. The generator's
    # own update draws in training mode: at first other images, so that both players can win
    fake_images = generator([noise, fake_labels], training=False)
    x = tf.concat([real_images, fake_images], axis=0)
    y = tf.concat([real, fake], axis=0)
    labels = tf.concat([real_labels, fake_labels], axis=0)
    discriminator.train_step(([x, labels], y))
    # the generator alone: fresh noise and labels, to be taken for real
    noise, fake_labels = draw.noise(), draw.labels()
    adversarial.train_step(([noise, fake_labels], real))
    return gan.step_metrics(discriminator, adversarial)


def train(models, dataset, params):
    """Train to the end of the run. All its pictures show the same 16 noise vectors, as the digits
    0 to 9, 0 to 5.
    """
    generator, _, _ = models
    draw = data.Sampler(params, dataset)  # images, with replacement; noise in [-1, 1)
    noise_input, noise_label = draw.noise(16), draw.grid_labels(16)
    plot = partial(gan.plot_images, generator, noise_input, noise_label)
    train_step = compile_step(gan_step, models, draw, params)  # as one graph, on each device
    with open_run(models, draw, params, plot) as run:  # folder, checkpoints, Ctrl-C
        gan.print_labels(noise_label, dataset)
        for step in run.steps():
            run.log(step, train_step())  # shows, draws, saves what is due


def build_and_train_models(params):
    dataset = data.load(params.data, params.image_size, params.grey)
    train(build_models(params, dataset), dataset, params)


if __name__ == "__main__":
    main(parser, build_and_train_models)  # or draw, with --generator
