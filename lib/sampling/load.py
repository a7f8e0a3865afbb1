"""A generator that is drawn from, built of what its file holds."""

from pathlib import Path

from lib import gan, generator_file
from lib.generator_file import Stored
from lib.plumbing.errors import UserError
from lib.plumbing.tf import keras

ROOT = Path(__file__).parents[2]


def load(path: str | Path) -> tuple[keras.Model, Stored]:
    """Load a generator from an .h5 or .keras file; execute nothing in it.

    Args:
        path: of the file; one in pretrained/ is found from any folder.

    Returns:
        A Model as `gan.generator` builds it, and what the file says beside.

    Raises:
        UserError: there is no such file, or it holds no such generator.
    """
    path = Path(path)
    if path.parts[:1] == ("pretrained",) and not path.exists():
        path = ROOT / path
    stored = generator_file.read(path)
    noise, *others = [keras.Input((width,)) for width in stored.widths]
    labels, codes = (others[0] if others else None), others[1:] or None
    model = gan.generator(noise, stored.image_size, stored.activation, labels, codes)
    model.set_weights(stored.weights)
    return model, stored


# What generators of so many inputs do, and whose they are.
KINDS = {
    1: (
        "draws from noise alone",
        "wgan-mnist.py, lsgan-mnist.py, dcgan-mnist.py, wgan-gp-mnist.py",
    ),
    2: ("draws a digit of choice", "acgan-mnist.py, cgan-mnist.py"),
    4: ("takes a category and two codes", "infogan-mnist.py"),
}


def check_use(path: str | Path, stored: Stored, inputs: int) -> None:
    """Refuse a generator that takes another number of inputs than the script's."""
    if len(stored.widths) != inputs:
        what, scripts = KINDS[len(stored.widths)]
        raise UserError(f"{path} {what}: sample from it with {scripts}")
