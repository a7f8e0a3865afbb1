"""Networks of the GANs, the DCGAN trainer, and pictures of what a generator draws.

The networks follow DCGAN (Radford, Metz and Chintala 2016, arXiv:1511.06434) with the
chapter's changes: sigmoid images in [0, 1], and no batch normalization in the
discriminator. The other losses and steps are in the scripts.
"""

import re
import secrets
from contextlib import suppress
from functools import partial
from pathlib import Path

from lib import data, pictures
from lib.keras2 import batch_normalization
from lib.plumbing.errors import Finished, UserError
from lib.plumbing.files import write, write_new
from lib.plumbing.tf import keras, layers, tf

import numpy as np


def generator(
    inputs, image_size: int, activation="sigmoid", labels=None, codes=None
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
        Output float32 (None, image_size, image_size, 1), in [0, 1] under the sigmoid.

    Raises:
        UserError: no such side.
    """
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
    for filters, strides in ((128, 2), (64, 2), (32, 1), (1, 1)):
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
        inputs: Input of images, (None, side, side, 1).
        activation: of the first output; None leaves it linear.
        num_labels: classes to tell apart (ACGAN, InfoGAN).
        num_codes: with num_labels, the two codes of InfoGAN; alone, the width of the noise
            to recover (StackedGAN).
        labels: Input of one-hot labels that the image is judged by (CGAN), (None, n).
        batch_norm: batch normalization before each LeakyReLU but the first; the chapter
            leaves it out (its Fig. 8.5 shows why).

    Returns:
        A Model named `discriminator` of `inputs`, or of [inputs, labels]. Outputs, float32:
        the judgement (None, 1); then `label` (None, num_labels), a softmax, and with codes
        `code1` and `code2` (None, 1), sigmoids; or `z0` (None, num_codes), a tanh.
    """
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
            for name in ("code1", "code2"):
                outputs.append(activate("sigmoid", name=name)(dense(1)(shared)))
    elif num_codes:
        outputs.append(activate("tanh", name="z0")(dense(num_codes)(x)))
    return keras.Model(
        inputs if labels is None else [inputs, labels],
        outputs if len(outputs) > 1 else source,
        name="discriminator",
    )


def dcgan_step(models, draw: data.Sampler, params) -> dict[str, tf.Tensor]:
    """Take a step of DCGAN: an update of the discriminator, then one of the generator.

    Args:
        models: (generator, discriminator, adversarial), the last two compiled.
        draw: draws the batches.
        params: not used, as DCGAN's step has no hyperparameters of its own.

    Returns:
        What `step_metrics` returns.
    """
    generator, discriminator, adversarial = models
    real, fake = tf.ones((draw.batch_size, 1)), tf.zeros((draw.batch_size, 1))
    # the discriminator: one batch of real images (1.0) and fake ones (0.0), which are drawn
    # as `predict` draws them, by batch normalization's moving averages
    real_images = draw.images()
    fake_images = generator(draw.noise(), training=False)
    x = tf.concat([real_images, fake_images], axis=0)
    y = tf.concat([real, fake], axis=0)
    discriminator.train_step((x, y))
    # the generator alone: fresh noise, to be taken for real
    adversarial.train_step((draw.noise(), real))
    return step_metrics(discriminator, adversarial)


def train(models, x_train, params, step=dcgan_step) -> None:
    """Train as a DCGAN.

    Args:
        models: (generator, discriminator, adversarial), the last two compiled.
        x_train: images, as `data.dataset` takes them; or a Dataset.
        params: a Namespace of batch_size, latent_size, seed, model_name, and whatever else isn't
            to be as in `training.defaults`; or a script's flags.
        step: takes models, draw and params, as `dcgan_step`.

    Raises:
        UserError: the images don't fit; or as `open_run`.
        Stopped: as `open_run`.
    """
    # here: who only builds networks needs no runs
    from lib.training.run import open_run
    from lib.training.step import compile_step

    generator, _, _ = models
    dataset = x_train if isinstance(x_train, data.Dataset) else data.dataset(x_train)
    if generator.output_shape[1] != dataset.image_size:
        side = dataset.image_size
        raise UserError(f"x_train has images of side {side}: build the networks for it, too")
    draw = data.Sampler(params, dataset)
    plot = partial(plot_images, generator, draw.noise(16))
    train_step = compile_step(step, models, draw, params)
    with suppress(Finished), open_run(models, draw, params, plot) as run:
        for number in run.steps():
            run.log(number, train_step())


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
    """Draw images, and save them in one grid: of a run, where one is due (`Run.log`).

    Args:
        generator: a Model as `generator` builds it.
        noise_input: float32 (N, latent_size).
        noise_label: one-hot labels, float32 (N, num_labels).
        noise_codes: list of further inputs.
        show: whether to open a window too, where there is a display.
        step: the picture's number.
        model_name: the folder of the picture; made when missing.

    Returns:
        The picture's path, <model_name>/<step, five digits>.png.

    Raises:
        UserError: as `draw_images`.
    """
    inputs = [noise_input] if noise_label is None else [noise_input, noise_label]
    inputs += noise_codes or []
    images = draw_images(generator, inputs)
    path = Path(model_name) / f"{step:05d}.png"
    write(path, pictures.encode(images))
    if show:
        pictures.show(path)
    return path


def draw_images(generator, inputs: list | np.ndarray, batch_size: int = 32) -> np.ndarray:
    """Draw images with a generator, in inference mode.

    Args:
        inputs: float32 (N, width) each: noise, then labels and codes where it takes them; noise
            alone needs no list.
        batch_size: how many it draws at a time.

    Returns:
        float32 (N, side, side, 1), in [0, 1]: what a tanh draws in [-1, 1] is shifted there, what
        a linear output draws beyond is clipped.

    Raises:
        UserError: pixels are not finite.
    """
    inputs = inputs if isinstance(inputs, list) else [inputs]
    pieces = [np.split(values, range(batch_size, len(values), batch_size)) for values in inputs]
    batches = zip(*pieces, strict=True) if len(pieces) > 1 else pieces[0]  # as Keras expects them
    images = np.concatenate([generator(batch, training=False) for batch in batches])
    if not np.isfinite(images).all():
        raise UserError(
            "the generator's weights are so large that its pixels are not finite: give another "
            "one, or train anew with other hyperparameters"
        )
    return pictures.as_pixels(generator, images)


def test_generator(
    generator,
    count: int = 16,
    class_label: int | None = None,
    seed: int | None = None,
    interpolate: bool = False,
    show: bool = True,
    model_name: str = "generator",
    output_dir="test_outputs",
    classes: list = (),
    codes: tuple[float | None, ...] = (None, None),
) -> Path:
    """Draw images from fresh noise in a grid, print its digits and its path, and show it.

    Args:
        generator, count, class_label, interpolate, codes: as in `data.sample_inputs`.
        seed: of noise and digits; None draws one.
        show: whether to open a window, where there is a display.
        model_name: begins the picture's name, which goes on with what it shows and its seed.
        output_dir: the folder of the picture; made when missing.
        classes: what each label stands for; a digit by default.

    Returns:
        The picture's path. Another picture that lies there is not replaced.

    Raises:
        UserError: class_label is not among the generator's labels; or as `draw_images`.
    """
    seed = secrets.randbelow(2**32) if seed is None else seed
    inputs = data.sample_inputs(generator, count, class_label, seed, interpolate, codes)
    if len(inputs) > 1:
        print_labels(inputs[1], classes, "categories" if len(inputs) > 2 else "digits")
    words = [model_name]
    words += ["interpolated"] * interpolate
    if class_label is not None:
        label = classes[class_label] if classes else class_label
        words.append(re.sub(r"\W+", "_", f"{data.input_widths(generator).word}{label}"))
    words += [f"code{n}_{code:g}" for n, code in enumerate(codes, 1) if code is not None]
    words += [f"{count}"] * (count != 16)
    path = Path(output_dir, "_".join([*words, f"seed{seed}.png"]))
    images = draw_images(generator, inputs)
    path = write_new(path, pictures.encode(images))
    print(f"saved {path}\n--seed={seed} draws it again", flush=True)
    if show:
        pictures.show(path)
    return path


def print_labels(labels, classes: list = (), what: str = "digits") -> None:
    """Print one-hot labels in the rows of the grid that shows their images.

    Prints nothing of a grid that is wider than a terminal.

    Args:
        labels: one-hot (N, num_labels).
        classes: what each label stands for; a digit by default.
        what: to call them.
    """
    names = [classes[label] if classes else label for label in np.argmax(labels, axis=1)]
    _, cols = pictures.grid_shape(len(names))
    if cols > 40:
        return
    print(f"{what} of the grid:")
    for row in range(0, len(names), cols):
        print(*names[row : row + cols])
