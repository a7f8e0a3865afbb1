"""InfoGAN, which discovers categories and codes, on MNIST. The chapter doesn't have it.

The generator takes a category of ten and two codes beside the noise, together c, and nobody tells
it what they mean: no labels are used. The discriminator has to recover them from what was drawn, by
heads Q, and both networks learn to make that possible. That bounds the mutual information of c and
images from below (eq. 4 and 5), so that each code comes to change something that can be seen:

    min_G,Q max_D V(D, G) - lambda L_I(G, Q),   L_I = E log Q(c|g(z, c)) + H(c)

Chen, Duan, Houthooft, Schulman, Sutskever and Abbeel: InfoGAN, 2016, arXiv:1606.03657. Networks,
optimizers, data and noise are those of acgan-mnist.py. The heads of the codes are sigmoids, so
these are uniform in [0, 1); a Gaussian of fixed variance makes their -log Q a squared error.

train:   python3 infogan-mnist.py
sample:  python3 infogan-mnist.py --generator=infogan_mnist.h5 --category=3 --code1=0.5
"""

from lib.program.flags import Parser

parser = Parser(__doc__, model_name="infogan_mnist", conditional=True, num_codes=2)
parser.add_hyperparameter("--train-steps", 40000, "take this many updates of the generator")
parser.add_hyperparameter("--lr", 2e-4, "learn at this rate; the generator at half of it")
parser.add_hyperparameter("--decay", 6e-8, "divide the rate by 1 + decay * step (generator: half)")
parser.add_hyperparameter("--batch-size", 64, "train on this many real images, and as many fakes")
parser.add_hyperparameter("--latent-size", 100, "draw noise of this width")
parser.add_hyperparameter("--num-categories", 10, "discover this many categories")
parser.add_hyperparameter("--category-weight", 1.0, "lambda: weigh the category's loss")
# lambda / (2 sigma^2), with lambda 1. The paper's code has sigma 1 for codes in (-1, 1), which are
# twice as wide as these: here sigma is 1/2
parser.add_hyperparameter("--code-weight", 2.0, "weigh the squared error of each code")

parser.begin(__name__)  # ends on --help or a wrong flag, before what takes seconds to import

from functools import partial

from lib import data, gan
from lib.keras2 import RMSprop
from lib.program.main import main
from lib.training.run import open_run
from lib.training.step import compile_step

import numpy as np
import tensorflow as tf
from tensorflow import keras


def build_models(params, dataset):
    """Build generator, discriminator and adversarial model, the last two compiled."""
    noise = keras.Input((params.latent_size,), name="z_input")
    categories = keras.Input((params.num_categories,), name="category")
    codes = [keras.Input((1,), name="code1_input"), keras.Input((1,), name="code2_input")]
    images = keras.Input(dataset.image_shape, name="discriminator_input")
    generator = gan.generator(
        noise, dataset.image_size, labels=categories, codes=codes, channels=dataset.channels
    )

    # D and Q share all but their last layers (the paper's section 6)
    discriminator = gan.discriminator(images, num_labels=params.num_categories, num_codes=2)
    loss = ["binary_crossentropy", "categorical_crossentropy", "mse", "mse"]
    weights = [1.0, params.category_weight, params.code_weight, params.code_weight]
    accuracy = [["accuracy"], ["accuracy"], [], []]
    # RMSprop as Keras 2 has it: rho 0.9, and division by sqrt(v) + 1e-7
    discriminator.compile(
        loss=loss,
        loss_weights=weights,
        optimizer=RMSprop(params.lr, params.decay),
        weighted_metrics=accuracy,
    )
    # generator, then discriminator, of which only the generator's weights are trainable here
    adversarial = gan.Adversarial(generator, discriminator, name=params.model_name)
    adversarial.compile(
        loss=loss,
        loss_weights=weights,
        optimizer=RMSprop(params.lr / 2, params.decay / 2),
        weighted_metrics=accuracy,
    )
    return generator, discriminator, adversarial


def gan_step(models, draw, params):
    """Take one update of discriminator and Q, then one of the generator."""
    generator, discriminator, adversarial = models
    real, fake = tf.ones((draw.batch_size, 1)), tf.zeros((draw.batch_size, 1))
    # one batch, real images (1.0) and fake ones (0.0); Q judges the fakes alone, by weights 0 and 1.
    # Keras divides by the whole batch: this is half of V and half of lambda L_I
    noise, codes = draw.noise(), draw.codes(params.num_categories)
    # inference mode, as in acgan-mnist.py
    x = tf.concat([draw.images(), generator([noise, *codes], training=False)], axis=0)
    y = tf.concat([real, fake], axis=0)
    recovered = [tf.concat([tf.zeros_like(code), code], axis=0) for code in codes]
    weights = [tf.ones_like(y)] + 3 * [1 - y]
    discriminator.train_step((x, (y, *recovered), weights))
    # the generator alone: fresh noise and codes, to be taken for real and recovered
    noise, codes = draw.noise(), draw.codes(params.num_categories)
    adversarial.train_step(([noise, *codes], (real, *codes)))
    return gan.step_metrics(discriminator, adversarial)


def train(models, dataset, params):
    """Train to the end of the run. All its pictures show the same noise: a category a
    column, and in code1/ and code2/ a sweep of that code from left to right.
    """
    generator, _, _ = models
    draw = data.Sampler(params, dataset)  # images, with replacement; noise in [-1, 1)
    n = params.num_categories
    row, col = np.divmod(np.arange(n * n), n)
    one_hot, middle = np.eye(n, dtype="float32"), np.full((n * n, 1), 0.5, "float32")
    noise, sweep = draw.noise(n).numpy(), np.linspace(0, 1, n, dtype="float32")[col, np.newaxis]

    def plot(step, model_name):
        save = partial(gan.plot_images, generator, step=step)
        save(noise[0 * row], one_hot[row], [sweep, middle], model_name=model_name / "code1")
        save(noise[0 * row], one_hot[row], [middle, sweep], model_name=model_name / "code2")
        return save(noise[row], one_hot[col], [middle, middle], model_name=model_name)

    train_step = compile_step(gan_step, models, draw, params)  # as one graph, on each device
    with open_run(models, draw, params, plot) as run:  # folder, checkpoints, Ctrl-C
        for step in run.steps():
            run.log(step, train_step())  # shows, draws, saves what is due


def build_and_train_models(params):
    dataset = data.load(params.data, params.image_size, params.grey, labels=False)
    train(build_models(params, dataset), dataset, params)


if __name__ == "__main__":
    main(parser, build_and_train_models)  # or draw, with --generator
