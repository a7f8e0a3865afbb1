"""The chapter's algorithms on Keras 2, as its listings write them."""

import numpy as np
from tf_keras import Input, Model, backend, layers
from tf_keras.optimizers.legacy import RMSprop
from tf_keras.utils import set_random_seed


def build_generator(labels=None):
    inputs = Input((100,))
    x = inputs if labels is None else layers.concatenate([inputs, labels], axis=1)
    x = layers.Dense(7 * 7 * 128)(x)
    x = layers.Reshape((7, 7, 128))(x)
    for filters in (128, 64, 32, 1):
        strides = 2 if filters > 32 else 1
        x = layers.BatchNormalization()(x)
        x = layers.Activation("relu")(x)
        x = layers.Conv2DTranspose(filters, 5, strides=strides, padding="same")(x)
    x = layers.Activation("sigmoid")(x)
    return Model(inputs if labels is None else [inputs, labels], x)


def build_discriminator(activation="sigmoid", labels=None, num_labels=None, batch_norm=False):
    inputs = Input((28, 28, 1))
    x = inputs
    if labels is not None:
        y = layers.Reshape((28, 28, 1))(layers.Dense(28 * 28)(labels))
        x = layers.concatenate([x, y])
    for filters in (32, 64, 128, 256):
        if batch_norm and filters > 32:
            x = layers.BatchNormalization()(x)
        x = layers.LeakyReLU(alpha=0.2)(x)
        x = layers.Conv2D(filters, 5, strides=1 if filters == 256 else 2, padding="same")(x)
    x = layers.Flatten()(x)
    outputs = layers.Dense(1)(x)
    if activation is not None:
        outputs = layers.Activation(activation)(outputs)
    if num_labels:
        y = layers.Dense(num_labels)(layers.Dense(128)(x))
        outputs = [outputs, layers.Activation("softmax")(y)]
    return Model(inputs if labels is None else [inputs, labels], outputs)


def wasserstein_loss(y_label, y_pred):
    return -backend.mean(y_label * y_pred)


class Draws:
    """Hands out the recorded batches, each kind in order."""

    def __init__(self, arrays):
        kinds = ("images", "image_labels", "noise", "labels")
        self.next = {kind: iter(arrays[kind]) for kind in kinds}

    def __getattr__(self, name):
        return next(self.next[name])


def build(name, batch_norm=False):
    """Generator, discriminator and adversarial model as the listing compiles them."""
    labels = Input((10,)) if name in ("cgan", "acgan") else None
    lr, decay = (5e-5, 0) if name == "wgan" else (2e-4, 6e-8)
    factor = 1 if name == "wgan" else 0.5
    loss = {
        "dcgan": "binary_crossentropy",
        "cgan": "binary_crossentropy",
        "wgan": wasserstein_loss,
        "lsgan": "mse",
        "acgan": ["binary_crossentropy", "categorical_crossentropy"],
    }[name]
    generator = build_generator(labels)
    discriminator = build_discriminator(
        activation=None if name in ("wgan", "lsgan") else "sigmoid",
        labels=labels if name == "cgan" else None,
        num_labels=10 if name == "acgan" else None,
        batch_norm=batch_norm,
    )
    discriminator.compile(loss=loss, optimizer=RMSprop(lr, decay=decay), metrics=["accuracy"])
    discriminator.trainable = False
    judged = generator.output if name != "cgan" else [generator.output, labels]
    adversarial = Model(generator.input, discriminator(judged))
    adversarial.compile(
        loss=loss, optimizer=RMSprop(lr * factor, decay=decay * factor), metrics=["accuracy"]
    )
    return generator, discriminator, adversarial


def wgan_step(generator, discriminator, adversarial, draw):
    figures = []
    for _ in range(5):
        real_images = draw.images
        real_labels = np.ones((len(real_images), 1))
        fake_images = generator.predict(draw.noise, verbose=0)
        figures.append(discriminator.train_on_batch(real_images, real_labels))
        figures.append(discriminator.train_on_batch(fake_images, -real_labels))
        for layer in discriminator.layers:
            weights = [np.clip(weight, -0.01, 0.01) for weight in layer.get_weights()]
            layer.set_weights(weights)
    return np.mean(figures, axis=0), adversarial.train_on_batch(draw.noise, real_labels)


def dcgan_step(generator, discriminator, adversarial, draw):
    fake_images = generator.predict(draw.noise, verbose=0)
    x = np.concatenate((draw.images, fake_images))
    y = np.ones((len(x), 1))
    y[len(x) // 2 :] = 0.0
    reported = discriminator.train_on_batch(x, y)
    return reported, adversarial.train_on_batch(draw.noise, np.ones((len(x) // 2, 1)))


def cgan_step(generator, discriminator, adversarial, draw):
    fake_labels = draw.labels
    fake_images = generator.predict([draw.noise, fake_labels], verbose=0)
    x = np.concatenate((draw.images, fake_images))
    labels = np.concatenate((draw.image_labels, fake_labels))
    y = np.ones((len(x), 1))
    y[len(x) // 2 :] = 0.0
    reported = discriminator.train_on_batch([x, labels], y)
    return reported, adversarial.train_on_batch(
        [draw.noise, draw.labels], np.ones((len(x) // 2, 1))
    )


def acgan_step(generator, discriminator, adversarial, draw):
    fake_labels = draw.labels
    fake_images = generator.predict([draw.noise, fake_labels], verbose=0)
    x = np.concatenate((draw.images, fake_images))
    labels = np.concatenate((draw.image_labels, fake_labels))
    y = np.ones((len(x), 1))
    y[len(x) // 2 :] = 0.0
    reported = discriminator.train_on_batch(x, [y, labels])
    fake_labels = draw.labels
    return reported, adversarial.train_on_batch(
        [draw.noise, fake_labels], [np.ones((len(x) // 2, 1)), fake_labels]
    )


STEPS = {
    "dcgan": dcgan_step,
    "cgan": cgan_step,
    "wgan": wgan_step,
    "lsgan": dcgan_step,
    "acgan": acgan_step,
}


def train(name, weights, draws, steps, batch_norm=False):
    """Train as the listing does.

    Args:
        name: of the GAN.
        weights: of generator and discriminator, to start from.
        draws: every draw in order: lists of batches by images, image_labels, noise, labels.
        steps: how many to take.
        batch_norm: whether the discriminator normalizes.

    Returns:
        The end weights of generator and discriminator, and the reported losses, a row a step.
    """
    set_random_seed(0)
    models = build(name, batch_norm)
    generator, discriminator, adversarial = models
    for model, start in zip(models, weights, strict=False):
        model.set_weights(start)
    draw, losses = Draws(draws), []
    for _ in range(steps):
        figures = np.concatenate(STEPS[name](*models, draw))
        names = discriminator.metrics_names + adversarial.metrics_names
        losses.append([f for f, n in zip(figures, names, strict=True) if n.endswith("loss")])
    return generator.get_weights(), discriminator.get_weights(), np.array(losses)
