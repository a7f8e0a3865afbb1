"""WGAN-GP, the Wasserstein GAN with gradient penalty, on MNIST. The chapter doesn't have it.

WGAN bounds its critic's slope by clipping the weights, "a clearly terrible way" in the words of its
authors. WGAN-GP adds a penalty to the critic's loss instead. It pulls the norm of the critic's
gradient to 1 at images between real and fake ones: the norm that the best critic has there.

Gulrajani, Ahmed, Arjovsky, Dumoulin and Courville: Improved Training of Wasserstein GANs, 2017,
arXiv:1704.00028, Algorithm 1. Networks, data and noise are those of the chapter's scripts, so
that they can be compared. The critic's fakes are drawn in training mode, as in the paper's code:
so the critic judges what the generator's own update draws. (wgan-mnist.py: inference mode.)

train:   python3 wgan-gp-mnist.py
sample:  python3 wgan-gp-mnist.py --generator=wgan_gp_mnist.h5
"""

from lib.program.flags import Parser

# The paper's letters and values, but for steps and noise, which are the chapter's.
parser = Parser(__doc__, model_name="wgan_gp_mnist")
parser.add_hyperparameter("--train-steps", 40000, "take this many updates of the generator")
parser.add_hyperparameter("--lr", 1e-4, "alpha: learn at this rate by Adam, both networks")
parser.add_hyperparameter("--beta-1", 0.0, "let Adam's mean gradient decay by this factor")
parser.add_hyperparameter("--beta-2", 0.9, "let Adam's mean squared gradient decay by this factor")
parser.add_hyperparameter("--penalty-weight", 10.0, "lambda: weigh the gradient penalty")
parser.add_hyperparameter(
    "--batch-size", 64, "m: train on this many real images, and as many fakes"
)
parser.add_hyperparameter("--n-critic", 5, "update the critic this often in a step")
parser.add_hyperparameter("--latent-size", 100, "draw noise z of this width")

parser.begin(__name__)  # ends on --help or a wrong flag, before what takes seconds to import

from functools import partial

from lib import data, gan
from lib.program.main import main
from lib.training.run import open_run
from lib.training.step import compile_step

import tensorflow as tf
from tensorflow import keras


def generator_loss(y_label, y_pred):
    """-D(g(z)) of each image (line 12); Adversarial's labels, all 1.0, play no part."""
    return -tf.reduce_mean(y_pred, axis=-1)


def gradient_penalty(critic, images):
    """Return mean (|grad D(x)| - 1)^2 over images x, the norm over all pixels of an image."""
    with tf.GradientTape() as tape:
        tape.watch(images)
        scores = critic(images, training=True)
    gradients = tape.gradient(scores, images)
    norms = tf.sqrt(tf.reduce_sum(tf.square(gradients), axis=(1, 2, 3)))
    return tf.reduce_mean(tf.square(norms - 1))


def build_models(params, dataset):
    """Build generator, critic and adversarial model; compile the last two."""
    noise = keras.Input((params.latent_size,), name="z_input")
    images = keras.Input(dataset.image_shape, name="discriminator_input")
    generator = gan.generator(noise, dataset.image_size, channels=dataset.channels)

    def adam():
        return keras.optimizers.Adam(params.lr, beta_1=params.beta_1, beta_2=params.beta_2)

    # linear, and without batch normalization: the penalty is of each image's own gradient
    critic = gan.discriminator(images, activation=None)
    critic.compile(optimizer=adam())
    adversarial = gan.Adversarial(generator, critic, name=params.model_name)
    adversarial.compile(loss=generator_loss, optimizer=adam())
    return generator, critic, adversarial


def critic_step(models, draw, params):
    """Take lines 4 to 9 of Algorithm 1: one update of the critic on its joint loss."""
    generator, critic, _ = models
    x, fakes = draw.images(), generator(draw.noise(), training=True)
    epsilon = draw.rng.uniform((draw.batch_size, 1, 1, 1))
    between = epsilon * x + (1 - epsilon) * fakes
    with tf.GradientTape() as tape:
        scores = critic(tf.concat([x, fakes], axis=0), training=True)
        real, fake = tf.split(scores, 2)
        estimate = tf.reduce_mean(real) - tf.reduce_mean(fake)
        penalty = gradient_penalty(critic, between)
        loss = -estimate + params.penalty_weight * penalty
        # replicas' gradients are summed: each computes its share
        loss /= tf.distribute.get_strategy().num_replicas_in_sync
    weights = critic.trainable_weights
    critic.optimizer.apply(tape.gradient(loss, weights), weights)
    return estimate, penalty


def gan_step(models, draw, params):
    """Take lines 2 to 12 of Algorithm 1: n_critic updates of the critic, one of the generator."""
    _, _, adversarial = models
    taken = [critic_step(models, draw, params) for _ in range(params.n_critic)]
    estimate, penalty = (tf.reduce_mean(values) for values in zip(*taken, strict=True))
    loss = adversarial.train_step((draw.noise(), tf.ones((draw.batch_size, 1))))["loss"]
    adversarial.reset_metrics()  # the next step's start afresh
    return {"wasserstein_estimate": estimate, "gradient_penalty": penalty, "adversarial_loss": loss}


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
