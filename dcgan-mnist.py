"""DCGAN on MNIST, which the chapter measures the improved GANs by.

The discriminator minimizes the binary cross-entropy of telling real images (1.0) from
fake ones (0.0); the generator that of its fakes being taken for real.

Radford, Metz and Chintala: Unsupervised Representation Learning with Deep Convolutional
Generative Adversarial Networks, 2016, arXiv:1511.06434.

train:   python3 dcgan-mnist.py
sample:  python3 dcgan-mnist.py --generator=dcgan_mnist.h5
"""

from lib import data, flags, gan

from tensorflow import keras


def build_models(params, image_size):
    """Generator, discriminator and adversarial model, the last two compiled."""
    noise = keras.Input((params.latent_size,), name="z_input")
    images = keras.Input((image_size, image_size, 1), name="discriminator_input")
    generator = gan.generator(noise, image_size)

    discriminator = gan.discriminator(images, batch_norm=params.batch_norm)
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
    x_train, _ = data.load(params.data)
    gan.train(build_models(params, x_train.shape[1]), x_train, params)


def parser():
    result = flags.Parser(__doc__, model_name="dcgan_mnist", lr=2e-4, decay=6e-8)
    result.algorithm.add_argument(
        "--batch-norm",
        action="store_true",
        help="batch normalization in the discriminator (Fig. 8.5)",
    )
    return result


if __name__ == "__main__":
    flags.main(parser(), build_and_train_models)
