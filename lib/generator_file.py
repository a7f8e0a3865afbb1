"""Generators as files: written so that any Keras 3 can load them, read without trusting them."""

import json
from math import isqrt
from pathlib import Path

from lib import gan
from lib.errors import UserError
from lib.files import atomic
from lib.tf import keras

import h5py


def save(generator: keras.Model, path: str | Path) -> None:
    """Write a generator as a whole-model .h5, in float32 and of Keras's own layers alone.

    Raises:
        OSError: it can't be written.
    """

    def plain(layer):
        config = layer.get_config() | {"dtype": "float32"}
        return getattr(keras.layers, type(layer).__name__).from_config(config)

    copy = keras.models.clone_model(generator, clone_function=plain)
    copy.set_weights(generator.get_weights())
    with atomic(path) as temporary:
        try:
            copy.save(temporary)
        except RuntimeError as error:  # h5py's, where the disk is full
            raise OSError(f"{path} can't be written: {error}") from error


def load(path: str | Path, conditional: bool) -> keras.Model:
    """A generator from an h5 file of this project or of the chapter's code on Keras 2.

    Only the inputs' widths and the weights are read. Keras's `load_model` would build
    whatever network the file describes, and fails on Keras 2's files.

    Args:
        path: whole-model file as `Model.save` writes it.
        conditional: whether the generator is to take labels beside the noise.

    Raises:
        UserError: no such file, no such generator, or one for other scripts.
    """
    path = Path(path)
    if path.is_dir() or path.suffix != ".h5":
        raise UserError(f"{path} is no .h5 file: give a generator as a training run writes it")
    if not path.exists():
        raise UserError(f"there is no file {path}: train first, or give another one")
    try:
        with h5py.File(path) as file:
            config = json.loads(file.attrs["model_config"])["config"]
        found = [(layer["class_name"], layer["config"]) for layer in config["layers"]]
        # Keras 2 calls it batch_input_shape, Keras 3 batch_shape.
        widths = [
            (settings.get("batch_shape") or settings["batch_input_shape"])[1]
            for name, settings in found
            if name == "InputLayer"
        ]
        units = next(settings["units"] for name, settings in found if name == "Dense")
        inputs = [keras.Input((width,)) for width in widths]
        model = gan.generator(inputs[0], 4 * isqrt(units // 128), codes=inputs[1:] or None)
        model.load_weights(path)
    except Exception as error:  # there is no end to what a stranger's file can hold
        raise UserError(
            f"{path} holds no whole generator of these scripts: give one as they write it"
        ) from error
    if len(widths) > 2:
        raise UserError(f"{path} takes latent codes: none of these scripts samples from it")
    if len(widths) == 1 and conditional:
        raise UserError(
            f"{path} draws from noise alone: sample from it with wgan-mnist.py, "
            "lsgan-mnist.py or dcgan-mnist.py"
        )
    if len(widths) == 2 and not conditional:
        raise UserError(
            f"{path} draws a digit of choice: sample from it with acgan-mnist.py or cgan-mnist.py"
        )
    return model
