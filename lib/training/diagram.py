"""The networks of a run, as text and as a diagram."""

import math
from collections.abc import Iterable
from pathlib import Path

from lib.plumbing.errors import UserError
from lib.plumbing.files import atomic
from lib.plumbing.tf import keras, tf


def write_summaries(models: Iterable[keras.Model], path: Path, show: bool) -> None:
    """Write the models' summaries as text; `show` prints them too."""
    text = "\n\n".join(map(summary, models)) + "\n"
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    if show:
        print(text)


def summary(model: keras.Model) -> str:
    """List a model's layers with the shapes of their outputs and their numbers of parameters.

    Keras's own summary leaves empty frames in a notebook, be it printed or not.
    """
    lines = [f'Model: "{model.name}"']
    for layer in model.layers:
        outputs = layer.outputs if isinstance(layer, keras.Model) else tf.nest.flatten(layer.output)
        shapes = " ".join(str(tuple(tensor.shape)) for tensor in outputs)
        kind = f"{layer.name} ({type(layer).__name__})"
        lines.append(f"  {kind:<45}{shapes:<45}{layer.count_params():>12,}")
    for what, weights in (
        ("trainable", model.trainable_weights),
        ("not trainable", model.non_trainable_weights),
    ):
        count = sum(math.prod(weight.shape) for weight in weights)
        lines.append(f"{what + ' parameters':<92}{count:>12,}")
    return "\n".join(lines)


def plot_model(generator: keras.Model, discriminator: keras.Model, path: str | Path) -> None:
    """Draw both networks in a row, layer by layer with their shapes (Fig. 8.9).

    Raises:
        UserError: Keras can't draw here, or something has that name.
    """
    noise, *labels = [keras.Input(tensor.shape[1:]) for tensor in generator.inputs]
    images = generator([noise, *labels] if labels else noise)
    judged = [images, *labels] if len(discriminator.inputs) > 1 else images
    whole = keras.Model([noise, *labels], discriminator(judged))
    try:
        with atomic(path, new=True) as temporary:
            keras.utils.plot_model(
                whole,
                temporary,
                show_shapes=True,
                show_layer_activations=True,
                expand_nested=True,
                dpi=100,
            )
    except ImportError as error:
        raise UserError(f"--plot-model can't draw here. {error}") from error
    except FileExistsError as error:
        raise UserError(f"{path} exists: remove it, or give another name") from error
    print(f"drew the networks in {path}")
