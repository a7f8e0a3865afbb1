"""DCGAN on MNIST, which the chapter measures the improved GANs by.

The discriminator minimizes the binary cross-entropy with labels 1.0 for real, 0.0 for fake images;
the generator that with label 1.0 for its fakes.

Radford, Metz and Chintala: Unsupervised Representation Learning with Deep
Convolutional Generative Adversarial Networks, 2016, arXiv:1511.06434.

train:   python3 dcgan-mnist.py
sample:  python3 dcgan-mnist.py --generator=dcgan_mnist.h5
"""

from lib.program.flags import Parser

# The chapter's values.
parser = Parser(__doc__, model_name="dcgan_mnist")
parser.add_hyperparameter("--train-steps", 40000, "take this many updates of the generator")
parser.add_hyperparameter("--lr", 2e-4, "learn at this rate; the generator at half of it")
parser.add_hyperparameter("--decay", 6e-8, "divide the rate by 1 + decay * step (generator: half)")
parser.add_hyperparameter("--batch-size", 64, "train on this many real images, and as many fakes")
parser.add_hyperparameter("--latent-size", 100, "draw noise of this width")
parser.add_hyperparameter(
    "--batch-norm", False, "normalize batches in the discriminator (Fig. 8.5)"
)

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
    images = keras.Input(dataset.image_shape, name="discriminator_input")
    generator = gan.generator(noise, dataset.image_size, channels=dataset.channels)

    discriminator = gan.discriminator(images, batch_norm=params.batch_norm)
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
    # the discriminator: one batch of real images (1.0) and fake ones (0.0)
    real_images = draw.images()
    # inference mode: the listing draws these with `predict`, by moving averages. The generator's
    # own update draws in training mode: at first other images, so that both players can win
    fake_images = generator(draw.noise(), training=False)
    x = tf.concat([real_images, fake_images], axis=0)
    y = tf.concat([real, fake], axis=0)
    discriminator.train_step((x, y))
    # the generator alone: fresh noise, to be taken for real
    adversarial.train_step((draw.noise(), real))
    return gan.step_metrics(discriminator, adversarial)


def train(models, dataset, params):
    """Train to the end of the run. All its pictures show the same 16 noise vectors."""
    generator, _, _ = models
    draw = data.Sampler(params, dataset)  # images, with replacement; noise in [-1, 1)
    plot = partial(gan.plot_images, generator, draw.noise(16))
    train_step = compile_step(gan_step, models, draw, params)  # as one graph, on each device
    with open_run(models, draw, params, plot) as run:  # folder, checkpoints, Ctrl-C
        for step in run.steps():
            run.log(step, train_step())  # shows, draws, saves what is due


def build_and_train_models(params):
    dataset = data.load(params.data, params.image_size, params.grey, labels=False)
    train(build_models(params, dataset), dataset, params)


if __name__ == "__main__":
    main(parser, build_and_train_models)  # or draw, with --generator
