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
parser.add_hyperparameter("--train-steps", 40000, "updates of the generator")
parser.add_hyperparameter("--lr", 2e-4, "discriminator's learning rate; generator's: half of it")
parser.add_hyperparameter("--decay", 6e-8, "rate / (1 + decay * step); generator's: half of it")
parser.add_hyperparameter("--batch-size", 64, "images a batch, real and as many fake")
parser.add_hyperparameter("--latent-size", 100, "width of the noise")
parser.add_hyperparameter(
    "--batch-norm", False, "batch normalization in the discriminator (Fig. 8.5)"
)

parser.begin(__name__)  # ends on --help or a wrong flag, before what takes seconds to import

from lib import data, gan
from lib.keras2 import Adversarial, RMSprop
from lib.program.main import main

from tensorflow import keras


def build_models(params, dataset):
    """Build generator, discriminator and adversarial model; compile the last two."""
    noise = keras.Input((params.latent_size,), name="z_input")
    images = keras.Input((dataset.image_size, dataset.image_size, 1), name="discriminator_input")
    generator = gan.generator(noise, dataset.image_size)

    discriminator = gan.discriminator(images, batch_norm=params.batch_norm)
    # RMSprop as Keras 2 has it: rho 0.9, and division by sqrt(v) + 1e-7
    discriminator.compile(
        loss="binary_crossentropy",
        optimizer=RMSprop(params.lr, params.decay),
        metrics=["accuracy"],
    )
    # generator, then discriminator. This model trains the generator's weights only, and runs the
    # discriminator in inference mode
    adversarial = Adversarial(generator, discriminator, name=params.model_name)
    adversarial.compile(
        loss="binary_crossentropy",
        optimizer=RMSprop(params.lr / 2, params.decay / 2),
        metrics=["accuracy"],
    )
    return generator, discriminator, adversarial


gan_step = gan.dcgan_step  # what the chapter's trainer takes; the other scripts have their own


def train(models, dataset, params):
    """The chapter's trainer, in lib/gan.py."""
    gan.train(models, dataset, params, gan_step)


def build_and_train_models(params):
    dataset = data.load(params.data, labels=False)  # MNIST, or own images
    train(build_models(params, dataset), dataset, params)


if __name__ == "__main__":
    main(parser, build_and_train_models)  # or draw, with --generator
