"""Generators as files: written so that any Keras 3 can load them, read without trusting them."""

import inspect
import io
import json
import logging
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from math import isqrt
from pathlib import Path
from typing import NamedTuple
from zipfile import ZipFile

from lib.data import MAX_CLASSES, MAX_SIDE
from lib.plumbing.errors import UserError
from lib.plumbing.files import reading, write
from lib.plumbing.tf import keras

import h5py
import numpy as np

MAX_BYTES = 2**30
ACTIVATIONS = "sigmoid", "tanh", "linear"


class MemoryFile(h5py.File):
    """An h5 in memory, which Keras takes for one on disk.

    On a disk that gets full HDF5 would end the program in a crash.
    """

    def __str__(self):
        return "memory.h5"


class Stored(NamedTuple):
    """What a file holds of a generator.

    Attributes:
        widths: of the inputs: noise, then labels, then two codes, where it takes them.
        image_size: side of the images.
        activation: of the output, one of ACTIVATIONS.
        weights: float32 arrays in the order of the layers.
        source: the name of the data that it was trained on; None for MNIST.
        classes: what each label stands for.
    """

    widths: list[int]
    image_size: int
    activation: str
    weights: list[np.ndarray]
    source: str | None
    classes: list


def save(generator: keras.Model, path: str | Path, source: str | None = None, classes=()) -> None:
    """Write a generator as a whole-model .h5, in float32 and of Keras's own layers alone.

    Args:
        generator: a Model as `gan.generator` builds it.
        path: of the file.
        source: the name of the data that it was trained on; None for MNIST.
        classes: what each label stands for.

    Raises:
        OSError: it can't be written.
    """

    def in_float32(layer):
        return type(layer).from_config(layer.get_config() | {"dtype": "float32"})

    copy = keras.models.clone_model(generator, clone_function=in_float32)
    copy.set_weights(generator.get_weights())
    content = io.BytesIO()
    with MemoryFile(content, "w") as file:
        with quiet("absl"):  # Keras calls h5 a legacy format
            copy.save(file)
        config = json.loads(file.attrs["model_config"])
        config["config"]["layers"] = [*map(without_defaults, config["config"]["layers"])]
        file.attrs["model_config"] = json.dumps(config)
        if source:
            file.attrs["data"] = source
        if len(classes) and len(generator.inputs) == 2:  # InfoGAN's categories are its own
            file.attrs["classes"] = json.dumps(list(classes))
    write(Path(path), content.getvalue())


def without_defaults(description: dict) -> dict:
    """Leave out of the description of a layer, or what is in one, its constructor's defaults.

    So other versions of Keras, which lack some of the arguments, can read it.
    """
    kind = getattr(
        import_module(description.get("module", "keras.layers")), description["class_name"]
    )
    known = inspect.signature(kind).parameters
    config = {}
    for name, value in description["config"].items():
        if value is None or (name in known and value == known[name].default):
            continue
        nested = isinstance(value, dict) and "class_name" in value
        config[name] = without_defaults(value) if nested else value
    return description | {"config": config}


@contextmanager
def quiet(logger: str) -> Iterator[None]:
    """Have a logger say errors alone."""
    level = logging.getLogger(logger).level
    logging.getLogger(logger).setLevel(logging.ERROR)
    try:
        yield
    finally:
        logging.getLogger(logger).setLevel(level)


def read(path: str | Path) -> Stored:
    """Read a generator from an h5 or .keras file of this project, of Keras's or of the chapter's.

    Only sizes, the output's activation and the weights are read. Keras's `load_model` would build
    whatever network the file describes, and fails on Keras 2's files.

    Raises:
        UserError: there is no such file, or it holds no generator of these networks.
    """
    with reading(path, (".h5", ".keras"), "a generator of these scripts"):
        path = Path(path)
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"it is larger than {MAX_BYTES:,} bytes")
        if path.suffix == ".h5":
            with h5py.File(path) as file:
                check_links(file)
                config = json.loads(file.attrs["model_config"])
                stored = stored_in_h5(file)
                facts = file.attrs.get("data"), json.loads(file.attrs.get("classes", "[]"))
                return described(config, stored, *facts)
        with ZipFile(path) as archive:
            if sum(info.file_size for info in archive.infolist()) > MAX_BYTES:
                raise ValueError(f"it unpacks to more than {MAX_BYTES:,} bytes")
            config = json.loads(archive.read("config.json"))
            content = io.BytesIO(archive.read("model.weights.h5"))
        with h5py.File(content) as file:
            check_links(file)
            return described(config, stored_in_keras(file, config), None, [])


def check_links(file: h5py.File) -> None:
    """Refuse links by name, which would open other files."""
    if file.id.links.visit(lambda _, link: link.type != h5py.h5l.TYPE_HARD or None, info=True):
        raise ValueError("it has links")


def stored_in_h5(file: h5py.File) -> list[h5py.Dataset]:
    """Find the weights of a whole-model h5 in the order of its layers."""
    model = file["model_weights"]
    return [
        model[layer][weight]
        for layer in model.attrs["layer_names"]
        for weight in model[layer].attrs["weight_names"]
    ]


def stored_in_keras(file: h5py.File, config: dict) -> list[h5py.Dataset]:
    """Find the weights of a .keras file, whose groups are named after the layers' classes."""
    found, seen = [], Counter()
    for layer in config["config"]["layers"]:
        kind = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", layer["class_name"]).lower()
        name = kind if not seen[kind] else f"{kind}_{seen[kind]}"
        seen[kind] += 1
        if name in file["layers"]:
            values = file["layers"][name]["vars"]
            found += [values[str(index)] for index in range(len(values))]
    return found


def described(config: dict, stored: list[h5py.Dataset], source, classes) -> Stored:
    """Read the weights of a generator, once all sizes agree with its description."""
    layers = [(layer["class_name"], layer["config"]) for layer in config["config"]["layers"]]
    # Keras 2 calls it batch_input_shape, Keras 3 batch_shape.
    widths = [
        (layer.get("batch_shape") or layer["batch_input_shape"])[1]
        for kind, layer in layers
        if kind == "InputLayer"
    ]
    units = next(layer["units"] for kind, layer in layers if kind == "Dense")
    image_size = 4 * isqrt(units // 128)
    if 8 * image_size**2 != units or not 4 <= image_size <= MAX_SIDE:
        raise ValueError(f"it draws no square images: {units} units")
    if len(widths) not in (1, 2, 4) or min(widths) < 1 or widths[2:] not in ([], [1, 1]):
        raise ValueError(f"it takes inputs of {widths}")
    if widths[1:] and widths[1] > MAX_CLASSES:
        raise ValueError(f"{widths[1]:,} labels, more than {MAX_CLASSES:,}")
    activation = layers[-1][1].get("activation", "linear")
    if layers[-1][0] != "Activation" or activation not in ACTIVATIONS:
        raise ValueError(f"its output is {activation!r}, none of {', '.join(ACTIVATIONS)}")
    shapes = weight_shapes(sum(widths), image_size)
    if [dataset.shape for dataset in stored] != shapes:
        raise ValueError("its weights have other shapes")
    for dataset in stored:
        # chunks may repeat or inflate data; external data lie in another file
        if dataset.dtype.kind != "f" or dataset.chunks or dataset.external or dataset.is_virtual:
            raise ValueError(f"{dataset.name} isn't stored in it plainly")
    weights = [dataset.astype("float32")[()] for dataset in stored]
    if not all(np.isfinite(weight).all() for weight in weights):
        raise UserError("its weights are not finite: give another generator")
    classes = classes if len(widths) == 2 else []
    if classes and len(classes) != widths[1]:
        raise ValueError(f"{len(classes)} classes for {widths[1]} labels")
    source = None if source is None else str(source)[:255]
    return Stored(widths, image_size, activation, weights, source, [*classes])


def weight_shapes(inputs: int, image_size: int) -> list[tuple[int, ...]]:
    """Return the shapes of a generator's weights, in the order in which Keras has them."""
    units = 8 * image_size**2
    shapes, channels = [(inputs, units), (units,)], 128
    for filters in 128, 64, 32, 1:
        shapes += [(channels,)] * 4 + [(5, 5, filters, channels), (filters,)]
        channels = filters
    return shapes
