"""A trained generator: its network, what its inputs mean, its file, and its images."""

import io
import json
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZipFile

from lib import data
from lib.pictures import grid_shape
from lib.plumbing.errors import UserError
from lib.plumbing.files import reading, write
from lib.plumbing.tf import keras, tf

import h5py
import numpy as np

ROOT = Path(__file__).parents[1]
MAX_BYTES = 2**30


class Generator:
    """A generator of images, and what its inputs and outputs mean.

    Attributes:
        model: a Keras model of noise (None, latent_size), then where it takes them one-hot labels
            or categories (None, num_labels) and codes (None, 1) each. Its output is
            (None, side, side, channels).
        classes: what each label stands for, as the data name it; empty where that isn't known.
        source: the name of the data that it was trained on; None for MNIST.
        noise: the distribution of its noise, one of `data.NOISES`.
        image_range: the values of black and white in its output.
    """

    def __init__(
        self, model: keras.Model, classes=(), source=None, noise="uniform", image_range=None
    ):
        self.model = model
        self.latent_size, *others = [tensor.shape[1] for tensor in model.inputs]
        self.num_labels, self.num_codes = others[0] if others else 0, len(others[1:])
        # InfoGAN's categories are its own
        self.classes = [] if self.num_codes or not self.num_labels else [*classes]
        self.source = source
        self.noise = noise
        self.image_range = tuple(image_range or guessed_range(model))

    @classmethod
    def of(cls, generator: "Generator | keras.Model") -> "Generator":
        """Return a plain model as what the run that trained it noted, or else as MNIST's."""
        if isinstance(generator, cls):
            return generator
        return getattr(generator, "trained", None) or cls(generator)

    @property
    def label_word(self) -> str:
        """What a label is: InfoGAN's categories are discovered, and may be no digits."""
        return "category" if self.num_codes else data.label_word(self.source)

    @property
    def names(self) -> list[str]:
        """What each label is called."""
        return [str(name) for name in self.classes or range(self.num_labels)]

    def label(self, name: int | str | None) -> int | None:
        """Return the label that is called so; None stands for any.

        Upper case and characters that a shell would need quotes for don't matter.

        Raises:
            UserError: there is none.
        """
        if name is None:
            return None
        if not self.num_labels:
            raise UserError("this generator draws from noise alone: ask it for no digit")
        for form in str, plain:
            if (sought := form(str(name))) in (found := [form(known) for known in self.names]):
                return found.index(sought)
        names = self.names
        choice = ", ".join(names) if len(names) <= 30 else f"{names[0]} to {names[-1]}"
        raise UserError(f"{self.label_word} {name} is unknown here: choose from {choice}")

    def feed(self, noise, labels=None, codes=()) -> list[np.ndarray]:
        """Return what the model takes, of noise (N, latent_size), labels and codes.

        Labels are whole numbers (N,), or one for all; each code is (N,), or one value for all.
        """
        count, inputs = len(noise), [np.asarray(noise, np.float32)]
        if self.num_labels:
            one_hot = np.eye(self.num_labels, dtype=np.float32)
            inputs.append(one_hot[np.broadcast_to(labels, count)])
        return inputs + [np.broadcast_to(np.float32(c), count)[:, np.newaxis] for c in codes]

    def inputs(
        self, count: int = 16, seed: int = 0, label=None, codes=None, layout: str = "random"
    ) -> list[np.ndarray]:
        """Draw inputs for `count` images, which lie row by row in a grid as square as can be.

        Args:
            label: as `label` takes it; or an array (count,) of labels; None draws each.
            codes: InfoGAN's, in [0, 1]; one that is None is drawn for each image.
            layout: "random": each image has noise of its own. "walk": each row walks in equal
                steps from one random point of the latent space to another, label and codes (0.5)
                held. "sweep": codes that are None sweep from 0 to 1, the first along the columns,
                the second along the rows, noise and category held.

        Returns:
            Noise, float32 (count, latent_size); then labels, one-hot, and codes, as the model
            takes them.

        Raises:
            UserError: no label is called so.
        """
        rng = tf.random.Generator.from_seed(seed)
        rows, cols = grid_shape(count)
        row, col = np.divmod(np.arange(count), cols)
        if layout == "walk":
            points = data.sample_noise(rng, 2 * rows, self.latent_size, self.noise)
            start, end = tf.split(points, 2)
            noise = tf.linspace(start, end, cols, axis=1)
            noise = tf.reshape(noise, (rows * cols, self.latent_size))[:count]
        else:
            noise = data.sample_noise(rng, count, self.latent_size, self.noise)
        noise, codes = noise.numpy(), [*(codes or self.num_codes * [None])][: self.num_codes]
        swept = [code is None for code in codes] if layout == "sweep" else []
        for index, code in enumerate(codes):
            if code is None and layout == "random":
                codes[index] = rng.uniform([count]).numpy()
            elif code is None:
                ramp = np.linspace(0, 1, cols)[col] if index == 0 else np.linspace(0, 1, rows)[row]
                codes[index] = 0.5 if layout == "walk" else ramp
        if not isinstance(label, np.ndarray):
            label = self.label(label)
        if label is None and self.num_labels:
            label = rng.uniform([count], maxval=self.num_labels, dtype=tf.int64).numpy()
            label = label[row] if layout == "walk" else label
        inputs = self.feed(noise, label, codes)
        if any(swept):
            held = np.zeros_like(row) if all(swept) else row if swept[0] else col
            inputs[:2] = [values[held] for values in inputs[:2]]
        return inputs

    def draw(self, inputs: list, batch_size: int = 32) -> np.ndarray:
        """Draw images, in inference mode, `batch_size` at a time.

        Returns:
            float32 (N, side, side, channels), in [0, 1].

        Raises:
            UserError: pixels are not finite.
        """
        starts = range(batch_size, len(inputs[0]), batch_size)
        batches = [*zip(*(np.split(np.asarray(values), starts) for values in inputs), strict=True)]
        if len(inputs) == 1:  # as Keras expects it
            batches = [batch for (batch,) in batches]
        images = np.concatenate([self.model(batch, training=False) for batch in batches])
        if not np.isfinite(images).all():
            raise UserError(
                "the generator's weights are so large that its pixels are not finite: give another "
                "one, or train anew with other hyperparameters"
            )
        return self.pixels(images)

    def pixels(self, images: np.ndarray) -> np.ndarray:
        """Bring the model's output to [0, 1], and clip what lies beyond."""
        low, high = self.image_range
        if (low, high) != (0, 1):
            images = (images - low) / (high - low)
        return images.clip(0, 1)

    def config(self) -> dict:
        """Return Keras's description of the model; raise a UserError if none may be built from it."""
        try:
            config = json.loads(json.dumps(keras.utils.serialize_keras_object(self.model)))
        except (TypeError, ValueError, NotImplementedError) as error:
            raise UserError(f"the generator can't be saved: {error}") from error
        check_classes(config, "the generator")
        return config

    def encode(self, **attributes) -> bytes:
        """Encode as a whole-model h5 in float32, with these attributes, which any Keras 3 can load.

        Raises:
            UserError: it has layers that can't be read again safely.
        """
        config = json.loads(json.dumps(self.config()), object_hook=without_defaults)
        content = io.BytesIO()
        with MemoryFile(content, "w") as file:
            with quiet("absl"):  # Keras calls h5 a legacy format
                self.model.save(file, include_optimizer=False)
            # a mixed policy keeps weights in float32. Keras's own description of an h5 has lost
            # which module an operator is from
            config = re.sub(r'"(mixed_)?b?float16"', '"float32"', json.dumps(config))
            file.attrs["model_config"] = config
            if self.source:
                file.attrs["data"] = self.source
            if self.classes:
                file.attrs["classes"] = json.dumps(self.classes)
            file.attrs["noise"] = self.noise
            file.attrs["image_range"] = self.image_range
            file.attrs.update(attributes)
        return content.getvalue()

    def save(self, path: str | Path, **attributes) -> None:
        """Write what `encode` returns; raise an OSError where that can't be."""
        write(Path(path), self.encode(**attributes))

    def check(self) -> None:
        """Raise a UserError unless it can be saved and, with layers of one's own, read again."""
        content = self.encode()
        if any(map(is_registered, described(self.config()))):
            with TemporaryDirectory() as folder:
                write(Path(folder, "generator.h5"), content)
                try:
                    Generator.load(Path(folder, "generator.h5"))
                except UserError as error:
                    raise UserError(
                        "the generator can't be built again from its description, which get_config "
                        f"of its layers gives: see that these name all arguments ({error})"
                    ) from error

    @classmethod
    def load(cls, path: str | Path) -> "Generator":
        """Load a generator from an h5 or .keras file, of Keras 2 or 3; execute nothing in it.

        Keras builds the network once all its classes are known to be Keras's own, or registered by
        the script that runs. (`load_model` would look up and run what the file names.)

        Args:
            path: of the file; one in pretrained/ is found from any folder.

        Raises:
            UserError: there is no such file, or it holds no generator of images.
        """
        path = Path(path)
        if path.parts[:1] == ("pretrained",) and not path.exists():
            path = ROOT / path
        with reading(path, (".h5", ".keras"), "a generator"), TemporaryDirectory() as folder:
            if path.stat().st_size > MAX_BYTES:
                raise ValueError(f"it is larger than {MAX_BYTES:,} bytes")
            stored, facts = path, {}
            if path.suffix == ".h5":
                with h5py.File(path) as file:
                    config, facts = file.attrs["model_config"], dict(file.attrs)
            else:
                with ZipFile(path) as archive:
                    if sum(info.file_size for info in archive.infolist()) > MAX_BYTES:
                        raise ValueError(f"it unpacks to more than {MAX_BYTES:,} bytes")
                    config = archive.read("config.json")
                    stored = Path(archive.extract("model.weights.h5", folder))
            check_stored(stored)
            model = build(config, str(path))
            model.load_weights(stored)
            classes = json.loads(facts.get("classes", "[]"))
            source = str(facts["data"])[:255] if "data" in facts else None
            noise, image_range = facts.get("noise", "uniform"), facts.get("image_range")
            check_generator(model, noise, image_range, classes)
            image_range = None if image_range is None else [*map(float, image_range)]
            return cls(model, classes, source, noise, image_range)


def plain(name: str) -> str:
    """Write a name as a shell takes it without quotes."""
    return re.sub(r"\W+", "_", name).lower()


def last_activation(model: keras.Model):
    """Return the activation of a model's last layer, at whatever depth; None where it has none."""
    last = model
    while isinstance(last, keras.Model):
        last = getattr(last, "operations", last.layers)[-1]
    return getattr(last, "activation", None)


def check_range(model: keras.Model, image_range: tuple[float, float]) -> None:
    """Raise a UserError where a model's last activation can't reach black and white."""
    if activation := last_activation(model):
        values = activation(tf.linspace([-50.0], [50.0], 101, axis=1))
        reached = [round(float(end(values)), 3) for end in (tf.reduce_min, tf.reduce_max)]
        if reached[0] > image_range[0] + 0.01 or reached[1] < image_range[1] - 0.01:
            raise UserError(
                f"the generator's {activation.__name__} draws in [{reached[0]:g}, {reached[1]:g}], "
                f"and trains on images in [{image_range[0]:g}, {image_range[1]:g}]: take another "
                "activation, or give params.image_range"
            )


def guessed_range(model: keras.Model) -> tuple[float, float]:
    """Return the values of black and white that a model's last activation speaks for."""
    return (-1.0, 1.0) if last_activation(model) is keras.activations.tanh else (0.0, 1.0)


class MemoryFile(h5py.File):
    """An h5 in memory, which Keras takes for one on disk.

    On a disk that gets full HDF5 would end the program in a crash.
    """

    def __str__(self):
        return "memory.h5"


@contextmanager
def quiet(logger: str) -> Iterator[None]:
    """Have a logger say errors alone."""
    level = logging.getLogger(logger).level
    logging.getLogger(logger).setLevel(logging.ERROR)
    try:
        yield
    finally:
        logging.getLogger(logger).setLevel(level)


# Layers that run code or read files which a description names.
UNSAFE = (
    *(keras.layers.Lambda, keras.layers.TFSMLayer, keras.layers.TorchModuleWrapper),
    *(keras.layers.JaxLayer, keras.layers.FlaxLayer, keras.layers.TextVectorization),
    keras.layers.StringLookup.__base__,  # IndexLookup
)
BUILT = (
    *(keras.Operation, keras.DTypePolicy, keras.initializers.Initializer),
    *(keras.regularizers.Regularizer, keras.constraints.Constraint),
)
VALUES = "__keras_tensor__", "__tensor__", "__numpy__", "__slice__", "__ellipsis__"
# Where Keras 2, and Keras 3 in an h5, leave out which module a class is from.
MODULES = (
    *("keras.layers", "keras.initializers", "keras.regularizers", "keras.constraints"),
    "keras.models",
)


def described(node) -> Iterator[dict]:
    """Yield the description of each object in a configuration, at any depth."""
    if isinstance(node, dict):
        if "class_name" in node:
            yield node
        node = [*node.values()]
    if isinstance(node, list):
        for part in node:
            yield from described(part)


def keras_class(description: dict) -> type | None:
    """Return Keras's own class that a description names; None where it isn't one."""
    module, name = description.get("module"), description["class_name"]
    if module is None and name in ("Functional", "Model"):
        return keras.Model
    if module is not None and module.partition(".")[0] != "keras":
        return None
    for place in [module] if module else MODULES:
        found = getattr(sys.modules.get(place), name, None)
        if isinstance(found, type) and issubclass(found, BUILT):
            return found
    return None


def is_registered(description: dict) -> bool:
    """Return whether the running script has registered the class or function of a description."""
    if description["class_name"] == "function":
        name = description.get("config")
    else:
        name = description.get("registered_name", description["class_name"])
    return isinstance(name, str) and name in keras.utils.get_custom_objects()


def check_classes(config: dict, whose: str) -> None:
    """Refuse a description unless Keras can build it without executing anything of a file.

    Raises:
        UserError: an object in it is neither Keras's own nor registered, or would run code.
    """
    for description in described(config):
        name = description["class_name"]
        if name in VALUES or is_registered(description):
            continue
        if name == "function":
            if hasattr(keras.activations, str(description["config"])):
                continue
            name = description["config"]
        found = keras_class(description)
        if name == "__lambda__" or (found and issubclass(found, UNSAFE)):
            raise UserError(
                f"{whose} has a layer of code ({name}), which no file can hold safely: write a "
                "layer class instead, under @keras.utils.register_keras_serializable()"
            )
        if found is None:
            raise UserError(
                f"{whose} has {name}, which is not Keras's own: the script that defines it can "
                "use it, under @keras.utils.register_keras_serializable()"
            )


def without_defaults(node: dict) -> dict:
    """Leave out of an object's description what its constructor takes by default.

    So other versions of Keras, which lack some of the arguments, can read it.
    """
    if "class_name" not in node or not isinstance(node.get("config"), dict) or is_registered(node):
        return node
    kind = keras_class(node)
    defaults = signature(kind.__init__).parameters if kind else {}
    config = {
        name: value
        for name, value in node["config"].items()
        if not (name in defaults and value == defaults[name].default)
    }
    return node | {"config": config}


def modern(node: dict) -> dict:
    """Describe an object as Keras 3 does, where Keras 2 described it.

    It called an input's shape otherwise, had an axis as a list, and arguments that are gone.
    """
    if "class_name" not in node:
        return node
    node.setdefault("module", None)  # or Keras looks up by other rules than `check_classes`
    if node["module"] or node["class_name"] in VALUES:
        return node
    if is_registered(node) or (kind := keras_class(node)) is None:
        return node
    if kind is keras.Model:
        return node | {"module": "keras.src.models.functional", "class_name": "Functional"}
    config = node["config"]
    if "batch_input_shape" in config and kind is keras.layers.InputLayer:
        config["batch_shape"] = config["batch_input_shape"]
    if kind is keras.layers.BatchNormalization and isinstance(config.get("axis"), list):
        (config["axis"],) = config["axis"]
    known = (
        signature(kind.__init__).parameters.keys()
        | signature(keras.layers.Layer.__init__).parameters.keys()
    )
    config = {name: value for name, value in config.items() if name in known}
    return node | {"module": f"keras.{kind.__module__.split('.')[2]}", "config": config}


def build(description: str | bytes, whose: str) -> keras.Model:
    """Build the network that JSON describes, once `check_classes` has passed it."""
    config = json.loads(description, object_hook=modern)
    config.pop("compile_config", None)
    check_classes(config, whose)
    return keras.utils.deserialize_keras_object(config, safe_mode=True)


def check_stored(path: Path) -> None:
    """Raise a ValueError unless an h5 holds all its numbers plainly, none of them elsewhere."""

    def check(_, found):
        # chunks may repeat or inflate data; external and virtual data lie elsewhere, or nowhere
        if isinstance(found, h5py.Dataset) and (
            found.dtype.kind not in "biuf"
            or found.chunks
            or found.external
            or found.id.get_storage_size() != found.nbytes
        ):
            raise ValueError(f"{found.name} isn't stored in it plainly")

    with h5py.File(path) as file:
        if file.id.links.visit(lambda _, link: link.type != h5py.h5l.TYPE_HARD or None, info=True):
            raise ValueError("it has links")
        file.visititems(check)


def check_generator(model: keras.Model, noise: str, image_range, classes: list) -> None:
    """Refuse a network that draws no images from noise, or numbers that aren't.

    Raises:
        ValueError, UserError: of what is wrong.
    """
    widths, shape = [tensor.shape[1:] for tensor in model.inputs], model.output_shape
    if not all(len(width) == 1 for width in widths) or any(w != (1,) for w in widths[2:]):
        raise ValueError(f"it takes inputs of {widths}")
    if widths[1:] and widths[1][0] > data.MAX_CLASSES:
        raise ValueError(f"{widths[1][0]:,} labels, more than {data.MAX_CLASSES:,}")
    if isinstance(shape, list) or len(shape) != 4 or shape[1] != shape[2] or shape[3] not in (1, 3):
        raise ValueError(f"it draws no square images, but {shape}")
    known = image_range is None or tuple(image_range) in data.IMAGE_RANGES
    if noise not in data.NOISES or not known:
        raise ValueError(f"its noise is {noise}, its images are in {image_range}")
    if classes and widths[1:2] != [(len(classes),)]:
        raise ValueError(f"{len(classes)} classes for {widths[1:2]} labels")
    if not all(np.isfinite(weight).all() for weight in model.get_weights()):
        raise UserError("its weights are not finite: give another generator")
