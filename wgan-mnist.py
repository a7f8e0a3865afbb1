"""WGAN, the Wasserstein GAN, on MNIST.

The discriminator is a critic (the code calls it discriminator, as the chapter
does): its score, with no sigmoid, rises on real images and falls on fakes.
All its weights are clipped to [-0.01, 0.01], which bounds its slope. Then the
mean score of real images minus that of fakes estimates, up to a factor, the
earth mover's distance: how far the mass of one distribution has to be moved
to make the other. The generator can descend that distance even where the
distributions don't overlap.

Arjovsky, Chintala and Bottou: Wasserstein GAN, 2017, arXiv:1701.07875,
Algorithm 1, which is the chapter's algorithm 5.1.1. This script follows the
chapter's listing 5.1.2, which departs from it:
- It updates the critic twice a round, on real images, then on fakes. The
  algorithm takes one update, on the difference of the means.
- The generator draws the critic's fakes in inference mode (`predict` there,
  `training=False` here): its batch normalization uses moving averages.
- It ends after a number of steps. Noise is uniform in [-1, 1).

train:   python3 wgan-mnist.py
sample:  python3 wgan-mnist.py --generator=wgan_mnist.h5
"""

from lib.program.flags import Parser

# The chapter's values. The letters and their values are also the paper's, in Algorithm 1.
parser = Parser(__doc__, model_name="wgan_mnist")
parser.add_hyperparameter("--train-steps", 40000, "take this many updates of the generator")
parser.add_hyperparameter("--lr", 5e-5, "alpha: learn at this rate, both networks")
parser.add_hyperparameter("--clip-value", 0.01, "c: clip the critic's weights to [-c, c]")
parser.add_hyperparameter(
    "--batch-size", 64, "m: train on this many real images, then as many fakes"
)
parser.add_hyperparameter("--n-critic", 5, "train the critic for this many rounds in a step")
parser.add_hyperparameter("--latent-size", 100, "draw noise z of this width")
parser.add_hyperparameter("--batch-norm", False, "normalize batches in the critic (Fig. 8.5)")

parser.begin(__name__)  # ends on --help or a wrong flag, before what takes seconds to import

from functools import partial

from lib import data, gan
from lib.keras2 import RMSprop
from lib.program.main import main
from lib.training.run import open_run
from lib.training.step import compile_step

import tensorflow as tf
from tensorflow import keras


def wasserstein_loss(y_label, y_pred):
    """-y_label * y_pred of each image, with labels 1.0 for real and -1.0 for fake (eq. 8.33).

    Its mean, which Keras takes over the batch, is -mean D(x) on real images and mean D(g(z))
    on fakes: minimizing both maximizes the paper's eq. 3, mean D(x) - mean D(g(z)).
    """
    return -tf.reduce_mean(y_label * y_pred, axis=-1)


def clip_weights(discriminator, clip_value):
    """Clip all of the critic's weights to [-clip_value, clip_value], to bound its slope.

    Without a bound its scores would grow for ever, and measure nothing. Clips biases too and, as
    the chapter does, the moving averages that it has with --batch-norm.
    """
    for weight in discriminator.weights:
        weight.assign(tf.clip_by_value(weight, -clip_value, clip_value))


def build_models(params, dataset):
    """Build generator, critic and adversarial model; compile the last two."""
    noise = keras.Input((params.latent_size,), name="z_input")
    images = keras.Input(dataset.image_shape, name="discriminator_input")
    generator = gan.generator(noise, dataset.image_size, channels=dataset.channels)

    # no activation: a critic's score has no bounds. Its accuracy, for which Keras takes scores
    # above 0.5 as 1, means nothing; the chapter prints it all the same.
    discriminator = gan.discriminator(images, activation=None, batch_norm=params.batch_norm)
    # RMSprop as Keras 2 has it: rho 0.9, and division by sqrt(v) + 1e-7
    discriminator.compile(loss=wasserstein_loss, optimizer=RMSprop(params.lr), metrics=["accuracy"])
    # generator, then critic. This model trains the generator's weights only, and leaves the
    # critic as it is, whose batch normalization (--batch-norm) takes its moving averages
    adversarial = gan.Adversarial(generator, discriminator, name=params.model_name)
    adversarial.compile(loss=wasserstein_loss, optimizer=RMSprop(params.lr), metrics=["accuracy"])
    return generator, discriminator, adversarial


def gan_step(models, draw, params):
    """Take lines 2 to 11 of Algorithm 1: n_critic rounds of the critic, one generator update."""
    generator, discriminator, adversarial = models
    real_labels = tf.ones((draw.batch_size, 1))
    for _ in range(params.n_critic):
        real_images = draw.images()
        # inference mode: the listing draws these with `predict`, by moving averages
        fake_images = generator(draw.noise(), training=False)
        # two updates, as in listing 5.1.2; the paper's line 5 takes one, on the joint gradient
        discriminator.train_step((real_images, real_labels))
        discriminator.train_step((fake_images, -real_labels))
        clip_weights(discriminator, params.clip_value)
    # the generator alone: fresh noise, to be scored as real
    adversarial.train_step((draw.noise(), real_labels))

    metrics = gan.step_metrics(discriminator, adversarial)  # means over the step's updates
    # mean D(x) - mean D(g(z)) over the step's updates of the critic, whose loss is the mean of
    # -D(x) and D(g(z))
    metrics["wasserstein_estimate"] = -2 * metrics["discriminator_loss"]
    return metrics


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
