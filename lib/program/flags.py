"""The scripts' flags.

A wrong one is reported before TensorFlow is imported.
"""

import argparse
import math
import os
import re
import secrets
import sys
import textwrap
from collections.abc import Callable
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path

from lib.plumbing.process import environment
from lib.training.defaults import DEFAULTS

ROOT = Path(__file__).parents[2]
INT32_MAX, FLOAT32_MAX = 2**31 - 1, float(2**128 - 2**104)
# Generous: beyond them is a slip of the keyboard.
LIMITS = {"--batch-size": 4096, "--latent-size": 10_000, "--n-critic": 100, "--num-categories": 100}


def number(low: float, high: float = INT32_MAX, kind: type = int) -> Callable[[str], float]:
    """Return an argparse type: a number of that kind from `low` to `high`."""
    what = "a whole number" if kind is int else "a number"
    limits = f"from {low}" if high in (INT32_MAX, FLOAT32_MAX) else f"from {low} to {high}"

    def convert(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if "_" in text or not low <= value <= high:
            raise argparse.ArgumentTypeError(f"give {what} {limits}, not {text!r}")
        return value

    return convert


def data_path(text: str) -> str:
    """Convert, as an argparse type, a path, or the name of a data set."""
    if text.isidentifier() and not os.path.exists(text):
        return text
    return os.path.abspath(text)


def image_side(text: str) -> int:
    """Convert, as an argparse type, the side of an image."""
    side = number(4, 256)(text)
    if side % 4:
        raise argparse.ArgumentTypeError(f"{side} is not divisible by 4")
    return side


def matching(pattern: str, what: str) -> Callable[[str], str]:
    """Return an argparse type: a text that matches a pattern, which `what` describes."""

    def convert(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise argparse.ArgumentTypeError(f"give {what}, not {text!r}")
        return text

    return convert


class OneLineParser(argparse.ArgumentParser):
    """An ArgumentParser that tells an error in one line.

    Args:
        description: the program's docstring.
        settings: of ArgumentParser.
    """

    def __init__(self, description: str, **settings):
        formatter = argparse.RawDescriptionHelpFormatter
        super().__init__(
            description=description, formatter_class=formatter, allow_abbrev=False, **settings
        )

    def error(self, message: str):
        unknown = re.search("^unrecognized arguments: (--[^ =]+)|$", message)[1] or ""
        for flag in get_close_matches(unknown, self._option_string_actions, 1, cutoff=0.75):
            message += f": did you mean {flag}?"
        self.exit(2, f"{self.prog}: {message} (--help lists the flags)\n")


class Parser:
    """The flags of a script: the algorithm's own, and those that all scripts have.

    Args:
        description: the script's docstring.
        model_name: names the run's folder and the generator's file, unless flags do.
        conditional: whether the generator draws a class of choice.
        num_codes: how many InfoGAN codes it takes.
        settings: parameters of training that have no flag, such as `noise="normal"`.
    """

    def __init__(
        self,
        description: str,
        model_name: str,
        conditional: bool = False,
        num_codes: int = 0,
        **settings,
    ):
        self.model_name = model_name
        self.conditional = conditional
        self.num_codes = num_codes
        # What flags stand for that aren't given, in each mode; those of both are in both.
        self.training = DEFAULTS | settings
        self.sampling = {"code1": None, "code2": None}
        self.parser = OneLineParser(description, argument_default=argparse.SUPPRESS)
        groups = map(
            self.parser.add_argument_group,
            ("training: the algorithm", "training: the run", "sampling", "both"),
        )
        self.algorithm, *others = groups
        add_run_flags(Group(others[0], self.training), model_name)
        add_sampling_flags(Group(others[1], self.sampling), conditional, num_codes)
        add_flags_of_both_modes(Group(others[2], self.training, self.sampling))

    def add_hyperparameter(self, name: str, default: bool | float, help: str) -> None:
        """Declare a flag of the algorithm.

        Args:
            name: with its dashes.
            default: tells the type: a switch, a whole number from 1, or a number from 0.
            help: its meaning.
        """
        group = Group(self.algorithm, self.training)
        if isinstance(default, bool):
            group.add(name, default=default, help=help, action=argparse.BooleanOptionalAction)
        elif isinstance(default, int):
            group.add_number(name, f"{help} ({default})", LIMITS.get(name, INT32_MAX), default)
        else:
            kind = number(0, FLOAT32_MAX, float)
            group.add(name, default=default, help=f"{help} ({default})", metavar="X", type=kind)

    def begin(self, name: str) -> None:
        """Parse a script's flags; exit on --help or an error, else import TensorFlow.

        Args:
            name: the script's __name__; one that is imported goes on.
        """
        if name == "__main__":
            self.parse_args()
            import_packages(self.exit)

    def parse_args(self, args: list[str] | None = None, **defaults) -> argparse.Namespace:
        """Return the flags: those of sampling where a --generator is given, else of training.

        Args:
            args: sys.argv's by default.
            defaults: replace the flags' own.

        Returns:
            Their values by name; for training also `script`, the GAN's own name.
        """
        given = vars(self.parser.parse_args(args))
        sampling = "generator" in given
        known, other = self.training, self.sampling
        if sampling:
            known, other = other, known
        for name in given:
            if name in other and name not in known:
                self._refuse(name, sampling)
        # what has no flag is the script's to say, also where a run goes on
        own = known.keys() - {action.dest for action in self.parser._actions}
        params = argparse.Namespace(**known | defaults | {n: known[n] for n in own} | given)
        if params.seed is None:
            params.seed = secrets.randbelow(2**32)
        if sampling:
            self._check_sampling(given)
        else:
            params.script = self.model_name
            params.model_name = params.model_name or own_name(self.model_name, params.data)
        return params

    def exit(self, status: int = 0, message: str = "") -> None:
        """End the program with a line on standard error."""
        prog = os.path.basename(sys.argv[0])
        message = "".join(char if char.isprintable() else repr(char)[1:-1] for char in message)
        self.parser.exit(status, f"{prog}: {message}\n" if message else None)

    def _flag(self, name: str) -> str:
        """Return the flag that sets a parameter."""
        actions = self.parser._actions
        return next(a.option_strings[-1] for a in actions if a.dest == name)

    def _refuse(self, name: str, sampling: bool) -> None:
        """Say that a flag goes with the other mode."""
        flag = self._flag(name)
        if name == "digit" and not self.conditional:
            self.parser.error("--digit goes with acgan-mnist.py and cgan-mnist.py")
        if sampling:
            self.parser.error(f"{flag} goes with training: leave it out, or --generator")
        there = f"{self.model_name}.h5", f"pretrained/{self.model_name}.h5"
        there = [file for file in there if Path(file).exists() or (ROOT / file).exists()]
        self.parser.error(
            f"{flag} draws with a trained generator: add --generator={[*there, 'FILE'][0]}"
        )

    def _check_sampling(self, given: dict) -> None:
        """Refuse flags of sampling that don't go together."""
        if "digit" in given and not self.conditional:
            self._refuse("digit", sampling=True)
        mode = next((name for name in MODES if name in given), None)
        for name, modes in USES.items():
            if name in given and mode not in modes:
                where = f"doesn't go with --{mode}" if mode else f"goes with --{modes[0]}"
                self.parser.error(f"{self._flag(name)} {where}")


class Group:
    """A group of flags whose defaults are kept apart, so that a flag that is given can be told."""

    def __init__(self, group, *defaults: dict):
        self.group, self.defaults = group, defaults

    def add(self, *names: str, default=None, **settings) -> None:
        action = self.group.add_argument(*names, **settings)
        if action.nargs == 0 and default is None:  # a switch
            default = False
        action.default = argparse.SUPPRESS
        for defaults in self.defaults:
            defaults.setdefault(action.dest, default)

    def add_number(self, name: str, help: str, most: int = INT32_MAX, default=None) -> None:
        """Add a flag that takes a whole number from 1 to `most`."""
        self.add(name, metavar="N", type=number(1, most), help=help, default=default)

    def exclusive(self) -> "Group":
        """Return a group of which one flag at most can be given."""
        return Group(self.group.add_mutually_exclusive_group(), *self.defaults)


def own_name(model_name: str, path: str | None) -> str:
    """Name a run after a script and, where it trains on other data than MNIST, after these."""
    if not path:
        return model_name
    own = re.sub(r"[^\w.-]+", "_", Path(path).stem)[:80]
    return f"{model_name.removesuffix('mnist')}{own}"


def add_run_flags(group: Group, model_name: str) -> None:
    """Add the flags of training, but for the algorithm's own.

    Their defaults are in `training.defaults`, which also says what a resumed run may change.
    """
    add, add_number = group.add, group.add_number
    add(
        "--image-size",
        metavar="N",
        type=image_side,
        help="crop the images to squares, and resize these to this side (as they are)",
    )
    add("--grey", action="store_true", help="leave out the images' colour")
    add(
        "--model-name",
        metavar="NAME",
        type=matching(r"[\w-][\w.-]{,99}", "a name of letters, digits, '_', '-', '.'"),
        help=f"name the run's folder and the generator's file ({model_name}, or after --data)",
    )
    add(
        "--precision",
        choices=("float32", "mixed_bfloat16"),
        help="mixed_bfloat16 computes in bfloat16 and keeps weights in float32 (float32)",
    )
    add_number("--save-interval", "draw a grid every N steps (500)")
    add_number("--log-interval", "log the losses every N steps (50)")
    add_number(
        "--evaluate-interval", "score the generator every N steps, and keep the best (never)"
    )
    add_number("--keep-interval", "keep every Nth generator (none)")
    add(
        "--plot-model",
        metavar="FILE.png",
        type=matching(r".*\.png", "the name of a .png file"),
        help="draw the networks instead of training (Fig. 8.9; needs pydot and Graphviz)",
    )
    add(
        "--distribute",
        metavar="DEVICES",
        type=matching(r"gpu|cpu:[1-9]\d?", "gpu or cpu:N, with N from 1 to 99"),
        nargs="?",
        const="gpu",
        help="train on all GPUs, or on cpu:N",
    )
    add("--summary", action="store_true", help="print the networks layer by layer")
    either = group.exclusive()
    either.add("--resume", action="store_true", help="go on with the run that is there")
    either.add("--overwrite", action="store_true", help="replace the run that is there")


# What can be asked of a generator instead of a grid (None), and with which of these each flag goes.
MODES = "interpolate", "explore", "neighbors", "evaluate", "npz", "images"
USES = {
    "digit": (None, "npz", "images", "interpolate", "neighbors"),
    "data": ("evaluate", "neighbors"),
    "count": (None, "npz", "images", "interpolate"),
    "seconds": ("interpolate",),
    "code1": (None, "interpolate"),
    "code2": (None, "interpolate"),
}


def add_sampling_flags(group: Group, conditional: bool, num_codes: int) -> None:
    """Add the flags of sampling; which values --digit has, only the generator knows (`label`)."""
    add = group.add
    add("-g", "--generator", metavar="FILE", help="draw with this generator instead of training")
    if num_codes:
        add("-d", "--category", dest="digit", metavar="N", help="draw only this category, from 0")
        share = number(0, 1, float)
        add("--code1", metavar="X", type=share, help="hold code 1, which sweeps the columns else")
        add("--code2", metavar="X", type=share, help="hold code 2, which sweeps the rows else")
    else:
        only = "draw only this digit, or class as the data name it"
        add("-d", "--digit", help=only if conditional else argparse.SUPPRESS)
    group.add_number("--count", "draw N images (16; with --npz and --images 10000)", 100_000)
    group.add_number("--seconds", "make the GIF of --interpolate N seconds long (8)", 60)
    add = group.exclusive().add
    add(
        "--interpolate",
        action="store_true",
        help="walk through the latent space along each row, and in a GIF",
    )
    add("--explore", action="store_true", help="open a window with sliders to play with")
    add("--neighbors", action="store_true", help="show the training images nearest to the drawn")
    add("--evaluate", action="store_true", help="score 10,000 images instead of drawing a grid")
    add(
        "--npz",
        metavar="FILE.npz",
        type=matching(r".*[^/]\.npz", "the name of an .npz file"),
        help="write images as a data set, which --data takes",
    )
    add("--images", metavar="FOLDER", help="the same as single pictures, in sub-folders by class")


def add_flags_of_both_modes(group: Group) -> None:
    """Add the flags of both modes."""
    add = group.add
    add(
        "--data",
        metavar="WHAT",
        type=data_path,
        help="train on, or compare with: a folder or .zip of pictures, whose sub-folders are the "
        "classes; an .npz; an IDX file; fashion_mnist, cifar10, cifar100 or mnist (mnist)",
    )
    add(
        "--seed",
        metavar="N",
        type=number(0, 2**32 - 1),
        help="seed all random numbers (a new seed each time, which is printed)",
    )
    add("--output-dir", metavar="DIR", default=".", help="write in this folder (the current one)")


def import_packages(exit: Callable) -> None:
    """Import TensorFlow and matplotlib; tell in one line what is missing.

    Hides MPLBACKEND meanwhile: a notebook's backend may be missing here.
    """
    failure, backend = None, os.environ.get("MPLBACKEND")
    if "matplotlib" in sys.modules:  # a session has chosen its backend
        backend = None
    with environment(MPLBACKEND=None):
        try:
            import lib.plumbing.tf  # noqa: F401

            import matplotlib
        except ModuleNotFoundError as error:
            python = ROOT / ".venv" / "bin" / "python"
            how = f"run it with {python}" if python.exists() else "pip install -r requirements.txt"
            failure = f"{error.name} is not installed: {how}"
        except KeyboardInterrupt:
            sys.exit(130)
        except Exception as error:  # noqa: BLE001  (whatever a broken installation raises)
            reason = textwrap.shorten(f"{type(error).__name__}: {error}", 120)
            failure = f"importing TensorFlow fails: mend the installation ({reason})"
    if failure:
        exit(2, failure)
    if backend:
        with suppress(ValueError):  # matplotlib doesn't know it; pictures need none
            matplotlib.rcParams["backend"] = backend
