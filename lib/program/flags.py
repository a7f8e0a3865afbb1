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
from pathlib import Path

from lib.plumbing.process import environment
from lib.training.defaults import DEFAULTS

INT32_MAX, FLOAT32_MAX = 2**31 - 1, float(2**128 - 2**104)
# Generous: beyond them is a slip of the keyboard.
LIMITS = {"--batch-size": 4096, "--latent-size": 10_000, "--n-critic": 100, "--num-categories": 100}


def whole_number(low: int, high: int = INT32_MAX) -> Callable[[str], int]:
    """Return an argparse type: a whole number from `low` to `high`."""

    def convert(text: str) -> int:
        if not re.fullmatch(r"[+-]?\d{1,19}", text) or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {low} to {high}")
        return int(text)

    return convert


def number(text: str) -> float:
    """Convert, as an argparse type, a number from 0 that float32 holds."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= FLOAT32_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 to {FLOAT32_MAX:.6g}")
    return value


def share(text: str) -> float:
    """Convert, as an argparse type, a number from 0 to 1."""
    value = number(text)
    if value > 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 to 1")
    return value


def data_path(text: str) -> str | None:
    """Convert, as an argparse type, a path, or the name of a data set; None stands for MNIST."""
    if text.isidentifier() and not os.path.exists(text):
        return None if text == "mnist" else text
    return os.path.abspath(text)


def image_side(text: str) -> int:
    """Convert, as an argparse type, the side of an image."""
    side = whole_number(4, 256)(text)
    if side % 4:
        raise argparse.ArgumentTypeError(f"{side} is not divisible by 4")
    return side


def matching(pattern: str, what: str) -> Callable[[str], str]:
    """Return an argparse type: a text that matches a pattern, which `what` describes."""

    def convert(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
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
        self.exit(2, f"{self.prog}: {message} (--help lists the flags)\n")


class Parser:
    """The flags of a script: the algorithm's own, and those that all scripts have.

    Args:
        description: the script's docstring.
        model_name: names the run's folder and the generator's file, unless flags do.
        conditional: whether the generator draws a class of choice.
        num_codes: how many InfoGAN codes it takes.
    """

    def __init__(
        self, description: str, model_name: str, conditional: bool = False, num_codes: int = 0
    ):
        self.description = description
        self.model_name = model_name
        self.conditional = conditional
        self.num_codes = num_codes
        self.hyperparameters = []

    def add_hyperparameter(self, name: str, default: bool | float, help: str) -> None:
        """Declare a flag of the algorithm.

        Args:
            name: with its dashes.
            default: tells the type: a switch, a whole number from 1, or a number from 0.
            help: its meaning.
        """
        if isinstance(default, bool):
            settings = {"action": argparse.BooleanOptionalAction, "help": help}
        else:
            whole = whole_number(1, LIMITS.get(name, INT32_MAX))
            kind = whole if isinstance(default, int) else number
            metavar = "N" if isinstance(default, int) else "X"
            settings = {"type": kind, "metavar": metavar, "help": f"{help} (%(default)s)"}
        self.hyperparameters.append((name, {"default": default, **settings}))

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
        args = sys.argv[1:] if args is None else args
        chosen = OneLineParser("", add_help=False)
        chosen.add_argument("-g", "--generator", nargs="?", const="")
        sampling = chosen.parse_known_args(args)[0].generator is not None
        parser = self._parser(training=not sampling, sampling=sampling)
        parser.set_defaults(**defaults)
        if {"-h", "--help"} & {*args}:
            self._parser(training=True, sampling=True).print_help()
            parser.exit()
        params, unknown = parser.parse_known_args(args)
        if unknown:
            self._refuse(parser, unknown, sampling)
        if params.seed is None:
            params.seed = secrets.randbelow(2**32)
        if sampling:
            check_sampling(parser, params, self.num_codes)
        else:
            self._complete(parser, params)
        return params

    def exit(self, status: int = 0, message: str = "") -> None:
        """End the program with a line on standard error."""
        prog = os.path.basename(sys.argv[0])
        message = "".join(char if char.isprintable() else repr(char)[1:-1] for char in message)
        OneLineParser("").exit(status, f"{prog}: {message}\n" if message else None)

    def _parser(self, training: bool, sampling: bool) -> OneLineParser:
        parser = OneLineParser(self.description)
        if training:
            parser.set_defaults(**DEFAULTS)
            group = parser.add_argument_group("training: the algorithm")
            for name, settings in self.hyperparameters:
                group.add_argument(name, **settings)
            add_run_flags(parser, self.model_name)
        if sampling:
            add_sampling_flags(parser, self.conditional, self.num_codes)
        group = parser.add_argument_group("both")
        add = group.add_argument
        add("--seed", metavar="N", type=whole_number(0, 2**32 - 1), help="of all draws (drawn)")
        add("--output-dir", metavar="DIR", default=".", help="where to write (here)")
        add(
            "--against-mnist", action="store_true", help="score what was trained on other data, too"
        )
        return parser

    def _refuse(self, parser: OneLineParser, unknown: list[str], sampling: bool) -> None:
        known = self._parser(training=sampling, sampling=not sampling)
        flag = unknown[0].partition("=")[0]
        if flag in re.findall(r"-[\w-]+", known.format_usage()):
            why = "training, not with" if sampling else "sampling: add"
            parser.error(f"{flag} goes with {why} --generator=FILE")
        if flag in ("-d", "--digit"):
            parser.error("--digit goes with acgan-mnist.py and cgan-mnist.py")
        parser.error(f"unknown: {' '.join(unknown)}")

    def _complete(self, parser: OneLineParser, params: argparse.Namespace) -> None:
        if params.evaluate_interval and params.data and not params.against_mnist:
            parser.error(
                "scores compare with MNIST's digits, not with --data: leave out "
                "--evaluate-interval, or add --against-mnist"
            )
        if params.model_name is None:
            params.model_name = self.model_name
            if params.data:
                own = re.sub(r"[^\w.-]+", "_", Path(params.data).stem)[:80]
                params.model_name = f"{self.model_name.removesuffix('mnist')}{own}"
        params.script = self.model_name


def add_run_flags(parser: OneLineParser, model_name: str) -> None:
    """Add the run flags of all scripts.

    Their defaults are in `training.defaults`, which also says what a resumed run may change.
    """
    group = parser.add_argument_group("training: the run")
    add = group.add_argument
    positive = whole_number(1)
    add(
        "--data",
        metavar="WHAT",
        type=data_path,
        help="train on a folder or .zip of pictures, whose sub-folders are the classes; an .npz; an "
        "IDX file; or fashion_mnist, cifar10, cifar100 (mnist)",
    )
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
        help=f"of the run's folder and generator ({model_name}, or after --data's file)",
    )
    add(
        "--precision",
        choices=("float32", "mixed_bfloat16"),
        help="mixed_bfloat16 computes in bfloat16, keeps weights in float32 (%(default)s)",
    )
    add("--save-interval", metavar="N", type=positive, help="steps a picture (%(default)s)")
    add("--log-interval", metavar="N", type=positive, help="steps a history row (%(default)s)")
    add(
        "--evaluate-interval",
        metavar="N",
        type=positive,
        help="add scores to the history every N steps (never)",
    )
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
    add("--summary", action="store_true", help="show the networks layer by layer, too")
    either = group.add_mutually_exclusive_group()
    either.add_argument("--resume", action="store_true", help="go on with the run that lies there")
    either.add_argument("--overwrite", action="store_true", help="begin anew where a run lies")


# The modes that each flag goes with.
USES = {
    "digit": ("npz", "images", "interpolate", "neighbors"),
    "count": ("npz", "images", "interpolate"),
    "seconds": ("interpolate",),
    "code1": ("interpolate",),
    "code2": ("interpolate",),
}


def add_sampling_flags(parser: OneLineParser, conditional: bool, num_codes: int) -> None:
    """Add the sampling flags."""
    group = parser.add_argument_group("sampling")
    add = group.add_argument
    add("-g", "--generator", metavar="FILE", help="draw with this generator, don't train")
    parser.set_defaults(digit=None, code1=None, code2=None)
    if num_codes:
        add("-d", "--category", dest="digit", help="draw only this category, from 0")
        add("--code1", metavar="X", type=share, help="from 0 to 1 (sweeps along the columns)")
        add("--code2", metavar="X", type=share, help="from 0 to 1 (sweeps along the rows)")
    elif conditional:
        add("-d", "--digit", help="draw only this digit (or class, as the data name it)")
    add(
        "--count",
        metavar="N",
        type=whole_number(1, 100_000),
        help="how many images (16; for --npz and --images 10000)",
    )
    add(
        "--seconds",
        metavar="N",
        type=whole_number(1, 60),
        help="how long --interpolate's GIF is (8)",
    )
    either = group.add_mutually_exclusive_group()
    add = either.add_argument
    add(
        "--interpolate",
        action="store_true",
        help="each row walks through the latent space; and a GIF of such a walk",
    )
    add("--explore", action="store_true", help="open a window with sliders to play in")
    add(
        "--neighbors", action="store_true", help="show the training images nearest to what it draws"
    )
    add("--evaluate", action="store_true", help="score 10,000 images instead of drawing")
    add(
        "--npz",
        metavar="FILE.npz",
        type=matching(r".*[^/]\.npz", "the name of an .npz file"),
        help="write images as a data set, which --data takes, instead of drawing",
    )
    add("--images", metavar="FOLDER", help="the same as single pictures, in sub-folders by class")


def check_sampling(parser: OneLineParser, params: argparse.Namespace, num_codes: int) -> None:
    """Refuse flags of sampling that don't go together."""
    modes = "interpolate", "explore", "neighbors", "evaluate", "npz", "images"
    mode = next((name for name in modes if getattr(params, name)), None)
    for name, uses in USES.items():
        if getattr(params, name) is not None and mode not in uses:
            if mode:
                flag = "category" if name == "digit" and num_codes else name
                parser.error(f"--{flag} doesn't go with --{mode}")
            if name == "seconds":
                parser.error("--seconds goes with --interpolate")


def import_packages(exit: Callable) -> None:
    """Import TensorFlow and matplotlib; tell in one line what is missing.

    Hides MPLBACKEND meanwhile: a notebook's backend may be missing here.
    """
    # Keras 3 on TensorFlow, whatever other projects here use
    settings = {"KERAS_BACKEND": "tensorflow", "TF_USE_LEGACY_KERAS": "0", "MPLBACKEND": None}
    failure = None
    with environment(**settings):
        try:
            import lib.plumbing.tf  # noqa: F401

            import matplotlib
        except ModuleNotFoundError as error:
            failure = f"{error.name} is not installed: pip install -r requirements.txt"
        except KeyboardInterrupt:
            sys.exit(130)
        except Exception as error:  # noqa: BLE001  (whatever a broken installation raises)
            reason = textwrap.shorten(f"{type(error).__name__}: {error}", 120)
            failure = f"importing TensorFlow fails: mend the installation ({reason})"
    if failure:
        exit(2, failure)
    if backend := os.environ.get("MPLBACKEND"):
        with suppress(ValueError):  # matplotlib doesn't know it; pictures need none
            matplotlib.rcParams["backend"] = backend
