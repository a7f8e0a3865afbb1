"""LSGAN, the least squares GAN, on MNIST.

A DCGAN whose discriminator minimizes the squared error to 1 on real and to 0 on fake
images, its generator the error to 1. Unlike cross-entropy, that still pulls at a fake
which lies on the right side of the decision boundary, but far from the data.

Mao, Li, Xie, Lau, Wang and Smolley: Least Squares Generative Adversarial Networks, 2017,
arXiv:1611.04076.

train:   python3 lsgan-mnist.py
sample:  python3 lsgan-mnist.py --generator=lsgan_mnist.h5
"""

from lib import data, flags, gan

from tensorflow import keras


def build_models(params, image_size):
    """Generator, discriminator and adversarial model, the last two compiled."""
    noise = keras.Input((params.latent_size,), name="z_input")
    images = keras.Input((image_size, image_size, 1), name="discriminator_input")
    generator = gan.generator(noise, image_size)

    # linear output: the squared error is of the score itself
    discriminator = gan.discriminator(images, activation=None)
    discriminator.compile(
        loss="mse", optimizer=gan.RMSprop(params.lr, params.decay), metrics=["accuracy"]
    )
    adversarial = gan.Adversarial(generator, discriminator, name=params.model_name)
    adversarial.compile(
        loss="mse", optimizer=gan.RMSprop(params.lr / 2, params.decay / 2), metrics=["accuracy"]
    )
    return generator, discriminator, adversarial


def build_and_train_models(params):
    x_train, _ = data.load(params.data)
    gan.train(build_models(params, x_train.shape[1]), x_train, params)


def parser():
    return flags.Parser(__doc__, model_name="lsgan_mnist", lr=2e-4, decay=6e-8)


if __name__ == "__main__":
    flags.main(parser(), build_and_train_models)
