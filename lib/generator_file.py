"""Generators as files: written so that any Keras 3 can load them, read without trusting them."""

import io
from math import isqrt
from pathlib import Path

from lib import data, gan, h5
from lib.errors import UserError
from lib.files import reading, write
from lib.tf import keras

import h5py
import numpy as np


class MemoryFile(h5py.File):
    """An h5 in memory, which Keras takes for one on disk. There a disk that gets full ends HDF5,
    and the program with it, in a crash.
    """

    def __str__(self):
        return "memory.h5"


def save(generator: keras.Model, path: str | Path, data: str | None = None) -> None:
    """Write a generator as a whole-model .h5, in float32 and of Keras's own layers alone.

    Args:
        data: the file that it was trained on; None for MNIST.

    Raises:
        OSError: it can't be written.
    """

    def plain(layer):
        config = layer.get_config() | {"dtype": "float32"}
        return getattr(keras.layers, type(layer).__name__).from_config(config)

    copy = keras.models.clone_model(generator, clone_function=plain)
    copy.set_weights(generator.get_weights())
    content = io.BytesIO()
    with MemoryFile(content, "w") as file:
        copy.save(file)
        if data:
            file.attrs["data"] = Path(data).name
    write(Path(path), content.getvalue())


def training_data(path: str | Path) -> str | None:
    """The name of the file that the generator in a whole file was trained on; None for MNIST."""
    with reading(path, ".h5", "a generator"), h5.opened(path) as file:
        return str(file.attrs["data"])[:255] if "data" in file.attrs else None


def load(path: str | Path, conditional: bool) -> keras.Model:
    """A generator from an h5 file of this project or of the chapter's code on Keras 2.

    Only the inputs' widths and the weights are read. Keras's `load_model` would build
    whatever network the file describes, and fails on Keras 2's files.

    Args:
        path: whole-model file as `Model.save` writes it.
        conditional: whether the generator is to take labels beside the noise.

    Raises:
        UserError: no such file, no such generator, or one for other scripts; memory is too small.
    """
    with reading(path, ".h5", "a whole generator of these scripts"), h5.opened(path) as file:
        weights = h5.stored_weights(file)
        widths, units = h5.declared_sizes(file)
        side = 4 * isqrt(units // 128)
        if min(widths) < 1 or 8 * side**2 != units or weights[0].shape != (sum(widths), units):
            raise ValueError(f"{weights[0].shape} weights from inputs of {widths} to {units} units")
        check_use(path, len(widths), conditional)
        if conditional and widths[1] > data.MAX_CLASSES:
            raise ValueError(f"{widths[1]:,} labels, more than {data.MAX_CLASSES:,}")
        noise, *labels = [keras.Input((width,)) for width in widths]
        model = gan.generator(noise, side, labels=labels[0] if labels else None)
        if [weight.shape for weight in model.weights] != [weight.shape for weight in weights]:
            raise ValueError("its weights have other shapes")
        values = [weight.astype("float32")[()] for weight in weights]
        if not all(np.isfinite(value).all() for value in values):
            raise UserError(f"{path} has weights that are not finite: give another generator")
        for weight, value in zip(model.weights, values, strict=True):
            if weight.name == "moving_variance" and value.min() < 0:
                raise ValueError("a variance is negative")
        model.set_weights(values)
    return model


def check_use(path: str | Path, inputs: int, conditional: bool) -> None:
    """Refuse a generator of that many inputs where it is to be another kind."""
    if inputs > 2:
        raise UserError(f"{path} takes latent codes: none of these scripts samples from it")
    if inputs == 1 and conditional:
        raise UserError(
            f"{path} draws from noise alone: sample from it with wgan-mnist.py, "
            "lsgan-mnist.py or dcgan-mnist.py"
        )
    if inputs == 2 and not conditional:
        raise UserError(
            f"{path} draws a digit of choice: sample from it with acgan-mnist.py or cgan-mnist.py"
        )
