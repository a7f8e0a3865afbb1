"""The networks of a run, as text and as a diagram."""

from collections.abc import Iterable
from pathlib import Path

from lib.plumbing.errors import UserError
from lib.plumbing.files import atomic
from lib.plumbing.tf import keras


def write_summaries(models: Iterable[keras.Model], path: Path, show: bool) -> None:
    """Write the models' summaries as text; `show` prints them too."""
    lines = []
    for model in models:
        model.summary(print_fn=lines.append, line_length=80)
    with atomic(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    if show:
        print(*lines, sep="\n")


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
