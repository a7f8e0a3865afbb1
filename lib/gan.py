"""The chapter's module: networks of the GANs, the DCGAN trainer, pictures of what is drawn.

The networks follow DCGAN (Radford, Metz and Chintala 2016, arXiv:1511.06434) with the
chapter's changes: sigmoid images in [0, 1], and no batch normalization in the
discriminator. The other losses and steps are in the scripts.
"""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from functools import partial
from pathlib import Path

from lib import data, pictures
from lib.generator import Generator
from lib.keras2 import batch_normalization
from lib.plumbing.errors import Finished, UserError
from lib.plumbing.files import write, write_new
from lib.plumbing.tf import check_keras_settings, keras, layers, tf
from lib.training.defaults import DEFAULTS

import numpy as np


def generator(
    inputs, image_size: int, activation="sigmoid", labels=None, codes=None, channels: int = 1
) -> keras.Model:
    """Build the network that draws: from noise, or from noise joined with labels and codes.

    Args:
        inputs: Input of noise, (None, latent_size).
        image_size: side of the square image, divisible by 4.
        activation: of the output; None leaves it linear.
        labels: Input of one-hot labels (ACGAN, CGAN), (None, num_labels).
        codes: beside labels, a list of two Inputs (InfoGAN); without labels, one Input
            (generator 0 of a StackedGAN).

    Returns:
        A Model named `generator` of the given inputs, in the order noise, labels, codes.
        Output float32 (None, image_size, image_size, channels), in [0, 1] under the sigmoid.

    Raises:
        UserError: no such side.
    """
    check_keras_settings()
    if image_size % 4 or not 4 <= image_size <= data.MAX_SIDE:
        raise UserError(
            f"image_size {image_size}: it must be divisible by 4, from 4 to {data.MAX_SIDE}"
        )
    conditions = [] if labels is None else [labels]
    if codes is not None:
        conditions += codes if isinstance(codes, list) else [codes]
    x = layers.Concatenate(axis=1)([inputs, *conditions]) if conditions else inputs

    image_resize = image_size // 4
    x = layers.Dense(image_resize * image_resize * 128)(x)
    x = layers.Reshape((image_resize, image_resize, 128))(x)
    for filters, strides in ((128, 2), (64, 2), (32, 1), (channels, 1)):
        x = batch_normalization()(x)
        x = layers.Activation("relu")(x)
        x = layers.Conv2DTranspose(filters, kernel_size=5, strides=strides, padding="same")(x)
    x = layers.Activation(activation, dtype="float32")(x)  # None: only a cast
    return keras.Model([inputs, *conditions] if conditions else inputs, x, name="generator")


def discriminator(
    inputs,
    activation="sigmoid",
    num_labels: int | None = None,
    num_codes: int | None = None,
    labels=None,
    batch_norm: bool = False,
) -> keras.Model:
    """Build the network that judges images: real or fake and, with further heads, of which class.

    Args:
        inputs: Input of images, (None, side, side, channels).
        activation: of the first output; None leaves it linear.
        num_codes: with num_labels, how many codes to recover (InfoGAN); alone, the width of the
            noise to recover (StackedGAN).
        labels: Input of one-hot labels that the image is judged by (CGAN), (None, n).
        batch_norm: batch normalization before each LeakyReLU but the first; the chapter
            leaves it out (its Fig. 8.5 shows why).

    Returns:
        A Model named `discriminator` of `inputs`, or of [inputs, labels]. Outputs, float32:
        the judgement (None, 1); then `label` (None, num_labels), a softmax, and with codes
        `code1`, `code2`, ... (None, 1), sigmoids; or `z0` (None, num_codes), a tanh.
    """
    check_keras_settings()
    x = inputs
    if labels is not None:
        image_size = inputs.shape[1]
        y = layers.Dense(image_size * image_size)(labels)
        y = layers.Reshape((image_size, image_size, 1))(y)
        x = layers.Concatenate()([x, y])
    for filters, strides in ((32, 2), (64, 2), (128, 2), (256, 1)):
        if batch_norm and filters != 32:
            x = batch_normalization()(x)
        x = layers.LeakyReLU(negative_slope=0.2)(x)
        x = layers.Conv2D(filters, kernel_size=5, strides=strides, padding="same")(x)
    x = layers.Flatten()(x)

    # Heads are float32 in every precision. Each activation stays the last operation: from
    # there Keras finds the logits, and a saturated discriminator keeps its gradients.
    dense = partial(layers.Dense, dtype="float32")
    activate = partial(layers.Activation, dtype="float32")
    source = dense(1)(x)
    if activation is not None:
        source = activate(activation, name="source")(source)
    outputs = [source]
    if num_labels:
        shared = layers.Dense(128)(x)
        outputs.append(activate("softmax", name="label")(dense(num_labels)(shared)))
        if num_codes:
            for number in range(1, num_codes + 1):
                outputs.append(activate("sigmoid", name=f"code{number}")(dense(1)(shared)))
    elif num_codes:
        outputs.append(activate("tanh", name="z0")(dense(num_codes)(x)))
    return keras.Model(
        inputs if labels is None else [inputs, labels],
        outputs if len(outputs) > 1 else source,
        name="discriminator",
    )


class Adversarial(keras.Model):
    """Generator and discriminator in a row, of which the generator alone is trained.

    Stands for the chapter's `discriminator.trainable = False`, which in Keras 3 would freeze the
    discriminator in its own training as well. As a frozen model did in Keras 2, the discriminator
    takes batch normalization's moving averages and leaves them, while dropout and noise are on.
    """

    def __init__(self, generator, discriminator, name="adversarial", **kwargs):
        name = re.sub(r"[^A-Za-z0-9]", "_", name).lstrip("_") or "adversarial"  # as scopes allow
        super().__init__(name=name, dtype="float32", **kwargs)  # noise goes in as drawn
        for model in generator, discriminator:
            if not model.built:
                raise UserError(f"{model.name} isn't built: begin it with keras.Input(shape)")
        drawn, taken = generator.output_shape[1:], tuple(discriminator.inputs[0].shape[1:])
        if drawn != taken:
            raise UserError(
                f"the generator draws images of {drawn}, the discriminator takes {taken}: build "
                "both for one size"
            )
        self.generator = generator
        self.discriminator = discriminator
        if hasattr(discriminator, "output_names"):  # not a Sequential
            self.output_names = discriminator.output_names
        inputs = generator.inputs
        self(inputs if inputs[1:] else inputs[0])  # builds it, for the summary

    def call(self, inputs, training=None):
        images = self.generator(inputs, training=training)
        if len(self.discriminator.inputs) > 1:  # CGAN: judged by the same labels
            images = [images, inputs[1]]
        with frozen(self.discriminator):
            return self.discriminator(images, training=training)

    @property
    def trainable_weights(self):
        return self.generator.trainable_weights

    @property
    def trainable_variables(self):  # from these Keras builds the optimizer
        return self.generator.trainable_variables

    @property
    def non_trainable_weights(self):  # the summary counts them
        return self.generator.non_trainable_weights + self.discriminator.weights


@contextmanager
def frozen(model: keras.Model) -> Iterator[None]:
    """Have a model's layers take themselves for not trainable, at any depth."""
    parts = [*model._flatten_layers(), *model.variables]
    before = [part.trainable for part in parts]
    model.trainable = False
    try:
        yield
    finally:
        for part, trainable in zip(parts, before, strict=True):
            part.trainable = trainable  # the outer layers, which set what is in them, come first


def gan_step(models, draw: data.Sampler, params) -> dict[str, tf.Tensor]:
    """Take a step of DCGAN, which is LSGAN's too: the losses are those the models are compiled for.

    dcgan-mnist.py explains it.
    """
    generator, discriminator, adversarial = models
    real, fake = tf.ones((draw.batch_size, 1)), tf.zeros((draw.batch_size, 1))
    x = tf.concat([draw.images(), generator(draw.noise(), training=False)], axis=0)
    discriminator.train_step((x, tf.concat([real, fake], axis=0)))
    adversarial.train_step((draw.noise(), real))
    return step_metrics(discriminator, adversarial)


def train(models, x_train, params, step=gan_step) -> None:
    """Train models on images, with DCGAN's step or another one.

    Args:
        models: (generator, discriminator, adversarial), the last two compiled.
        x_train: images, as `data.dataset` takes them; or a Dataset, which may have labels.
        params: a Namespace of batch_size, latent_size, seed, model_name, and whatever else isn't
            to be as in `training.defaults`; or a script's flags.
        step: takes models, draw and params, as the `gan_step` of each script.

    Raises:
        UserError: models, images and params don't go together; or as `open_run`.
        Stopped: as `open_run`.
    """
    # here: building networks alone loads no runs
    from lib.training.run import open_run
    from lib.training.step import compile_step

    generator, discriminator, _ = models
    check_names(params)
    if step is gan_step and len(discriminator.outputs) > 1:
        raise UserError("this discriminator has heads: give a step, as acgan-mnist.py's gan_step")
    dataset = x_train if isinstance(x_train, data.Dataset) else data.dataset(x_train)
    draw = data.Sampler(params, dataset)
    grid = Generator.of(generator)  # its pictures: the classes in order, codes in the middle
    inputs = grid.feed(
        draw.noise(16), np.arange(16) % max(grid.num_labels, 1), grid.num_codes * [0.5]
    )
    plot = partial(plot_images, generator, *inputs[:2], noise_codes=inputs[2:])
    train_step = compile_step(step, models, draw, params)
    with suppress(Finished), open_run(models, draw, params, plot) as run:
        for number in run.steps():
            run.log(number, train_step())


def check_names(params) -> None:
    """Raise a UserError where params lacks a name, or seems to misspell one."""
    needed = {"batch_size", "latent_size", "seed", "model_name"}
    if missing := sorted(needed - vars(params).keys()):
        raise UserError(f"params has no {', '.join(missing)}")
    known = needed | DEFAULTS.keys()
    for name in vars(params).keys() - known:  # a step may read others
        if close := get_close_matches(name, known, 1, cutoff=0.8):
            raise UserError(f"params has {name}: did you mean {close[0]}?")


def step_metrics(discriminator: keras.Model, adversarial: keras.Model) -> dict[str, tf.Tensor]:
    """Return both models' metrics over one step, as scalars, and reset them.

    Belongs at the end of a step. The names are Keras's, behind the model's:
    discriminator_loss, discriminator_accuracy, adversarial_loss, ...
    """
    result = {}
    for name, model in ("discriminator", discriminator), ("adversarial", adversarial):
        for key, value in model.get_metrics_result().items():
            result[f"{name}_{key}"] = value
        model.reset_metrics()
    return result


def plot_images(
    generator,
    noise_input,
    noise_label=None,
    noise_codes=None,
    show=False,
    step=0,
    model_name="gan",
) -> Path:
    """Draw images with a Generator or a Model, and save them in one grid.

    Args:
        noise_input: float32 (N, latent_size).
        noise_label: one-hot labels, float32 (N, num_labels).
        noise_codes: list of further inputs.

    Returns:
        The picture's path, <model_name>/<step, five digits>.png.

    Raises:
        UserError: as `draw_images`.
    """
    inputs = [noise_input] if noise_label is None else [noise_input, noise_label]
    images = draw_images(generator, inputs + (noise_codes or []))
    path = Path(model_name) / f"{step:05d}.png"
    write(path, pictures.encode(images))
    if show:
        pictures.show(path)
    return path


def draw_images(generator, inputs: list | np.ndarray) -> np.ndarray:
    """Draw images with a Generator or a Model: float32 (N, side, side, channels) in [0, 1].

    Args:
        inputs: noise (N, latent_size), or a list of it, labels and codes.

    Raises:
        UserError: pixels are not finite.
    """
    return Generator.of(generator).draw(inputs if isinstance(inputs, list) else [inputs])


def test_generator(
    generator,
    class_label=None,
    count: int = 16,
    seed: int | None = None,
    interpolate: bool = False,
    codes: tuple[float | None, ...] | None = None,
    show: bool = True,
    model_name: str = "generator",
    output_dir="test_outputs",
) -> Path:
    """Draw a grid with a Generator or a Model from fresh noise; print its labels and path; show it.

    Args:
        class_label: the only class to draw, as the data name it.
        seed: of noise and labels; None draws one.
        interpolate: each row walks from one random point of the latent space to another.
        codes: InfoGAN's two, in [0, 1]; one that is None sweeps over the grid.
        model_name: begins the picture's name, which goes on with what it shows and its seed.

    Returns:
        The picture's path. Another picture that lies there is not replaced.

    Raises:
        UserError: no class is called so; or as `draw_images`.
    """
    generator = Generator.of(generator)
    seed = secrets.randbelow(2**32) if seed is None else seed
    layout = "walk" if interpolate else "sweep"
    inputs = generator.inputs(count, seed, class_label, codes, layout)
    if generator.num_labels:
        print_labels(inputs[1], generator)
    words = [model_name]
    words += ["interpolated"] * interpolate
    if class_label is not None:
        words.append(re.sub(r"\W+", "_", f"{generator.label_word}{class_label}"))
    words += [f"code{n}_{code:g}" for n, code in enumerate(codes or (), 1) if code is not None]
    words += [f"{count}"] * (count != 16)
    path = Path(output_dir, "_".join([*words, f"seed{seed}.png"]))
    path = write_new(path, pictures.encode(generator.draw(inputs)))
    print(f"saved {path}\n--seed={seed} draws it again", flush=True)
    if show:
        pictures.show(path)
    return path


def print_labels(labels, named) -> None:
    """Print labels in the rows of the grid that shows their images.

    Prints nothing of a grid that is wider than a terminal.

    Args:
        labels: one-hot (N, num_labels).
        named: the Dataset or the Generator that says what they stand for.
    """
    names = np.array(named.names)[np.argmax(labels, axis=1)]
    _, cols = pictures.grid_shape(len(names))
    if cols > 40:
        return
    plural = {"digit": "digits", "class": "classes", "category": "categories"}[named.label_word]
    print(f"{plural} of the grid:")
    for row in range(0, len(names), cols):
        print(*names[row : row + cols])
