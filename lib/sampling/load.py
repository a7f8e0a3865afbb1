"""A generator that is drawn from, built of what its file holds."""

from pathlib import Path

from lib import gan, generator_file
from lib.generator_file import Stored
from lib.plumbing.errors import UserError
from lib.plumbing.tf import keras

ROOT = Path(__file__).parents[2]


def load(path: str | Path) -> tuple[keras.Model, Stored]:
    """Load a generator from an .h5 or .keras file, which nothing of is executed.

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
    if len(stored.widths) > 2:
        raise UserError(f"{path} takes latent codes: none of these scripts samples from it")
    noise, *labels = [keras.Input((width,)) for width in stored.widths]
    model = gan.generator(
        noise, stored.image_size, stored.activation, labels=labels[0] if labels else None
    )
    model.set_weights(stored.weights)
    return model, stored


def check_use(path: str | Path, stored: Stored, conditional: bool) -> None:
    """Refuse a generator of another kind than the script's, and name the right scripts."""
    if len(stored.widths) == 1 and conditional:
        raise UserError(
            f"{path} draws from noise alone: sample from it with wgan-mnist.py, "
            "lsgan-mnist.py or dcgan-mnist.py"
        )
    if len(stored.widths) == 2 and not conditional:
        raise UserError(
            f"{path} draws a digit of choice: sample from it with acgan-mnist.py or cgan-mnist.py"
        )
