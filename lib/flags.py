"""The scripts' flags."""

import argparse
import math
import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import tensorflow as tf


def whole_number(low: int, high: float = math.inf) -> Callable[[str], int]:
    """An argparse type: a whole number from `low` to `high`."""

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = None
        if value is None or not low <= value <= high:
            upper = "" if high == math.inf else f" and at most {high}"
            raise argparse.ArgumentTypeError(
                f"{text!r} is no whole number of at least {low}{upper}"
            )
        return value

    return convert


def number(text: str) -> float:
    """An argparse type: a finite number, not negative."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of at least 0")
    return value


def devices(text: str) -> str:
    """An argparse type: what --distribute takes."""
    if not re.fullmatch(r"gpu|cpu:[1-9]\d?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is neither gpu nor cpu:N, with N from 1 to 99")
    return text


def png(text: str) -> str:
    """An argparse type: the name of a PNG file."""
    if not text.endswith(".png"):
        raise argparse.ArgumentTypeError(f"{text!r} is no name of a .png file")
    return text


def has_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether a GPU or the processor computes in bfloat16; outside Linux the user knows."""
    if tf.config.list_physical_devices("GPU") or not cpuinfo.exists():
        return True
    return "bf16" in cpuinfo.read_text()


class Parser(argparse.ArgumentParser):
    """The flags of a script: those that all have, and the algorithm's own. Errors are one line.

    Args:
        description: the script's docstring.
        model_name: names the run's folder and the generator's file.
        conditional: whether the generator draws a digit of choice.
    """

    def __init__(self, description: str, model_name: str, conditional: bool = False):
        super().__init__(
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        self.set_defaults(model_name=model_name)
        self.conditional = conditional
        self.recorded, self.shared = {}, ["model_name"]
        self.algorithm = self.add_argument_group("training: the algorithm")
        add_run_flags(self)
        self.sampling = add_sampling_flags(self)

    def add_flag(self, group, name: str, on_resume: str | None = None, shared=True, **settings):
        """Declare a flag of training.

        Args:
            group: of argparse.
            name: with its dashes.
            on_resume: "keep" where a run goes on with the value that it began with, "change"
                where it may be given another one; None for what is no part of a run.
            shared: whether all workers of a cluster must be given the same.
            settings: of argparse's add_argument.
        """
        dest = group.add_argument(name, **settings).dest
        if on_resume:
            self.recorded[dest] = on_resume
        if shared:
            self.shared.append(dest)

    def add_hyperparameter(
        self, name: str, default: bool | float, help: str, on_resume: str = "keep"
    ) -> None:
        """Declare a flag of the algorithm: a switch, a whole number from 1, or a number from 0."""
        if isinstance(default, bool):
            settings = {"action": argparse.BooleanOptionalAction, "default": default, "help": help}
        else:
            kind = whole_number(1) if isinstance(default, int) else number
            settings = {"type": kind, "default": default, "help": f"{help} (%(default)s)"}
        self.add_flag(self.algorithm, name, on_resume, **settings)

    def error(self, message: str):
        self.exit(2, f"{self.prog}: {message} (--help lists the flags)\n")

    def parse_args(self, args=None, namespace=None) -> argparse.Namespace:
        """The flags, refused where they don't go together.

        Returns:
            Their values by name; beside them `recorded`, on_resume by the name of each flag
            that belongs to a run, and `shared`, the names on which workers must agree.
        """
        params = super().parse_args(args, namespace)
        params.recorded, params.shared = self.recorded, self.shared
        check_together(self, params)
        return params


def add_run_flags(parser: Parser) -> None:
    """Declare what all scripts know of a run."""
    positive = whole_number(1)
    add = partial(parser.add_flag, parser)
    add(
        "--seed",
        type=whole_number(0, 2**32 - 1),
        on_resume="keep",
        shared=False,  # all workers take the chief's
        help="of all random numbers (default: drawn)",
    )
    add(
        "--output-dir",
        metavar="DIR",
        default=".",
        shared=False,
        help="where to write (default: here)",
    )

    add = partial(parser.add_flag, parser.add_argument_group("training: the run"))
    add(
        "--data",
        metavar="FILE.npz",
        type=os.path.abspath,
        on_resume="change",
        shared=False,
        help="x_train and y_train in MNIST's layout (MNIST)",
    )
    add(
        "--precision",
        choices=("float32", "mixed_bfloat16"),
        default="float32",
        on_resume="keep",
        help="mixed_bfloat16 computes in bfloat16, keeps weights in float32 (%(default)s)",
    )
    add(
        "--save-interval",
        type=positive,
        default=500,
        on_resume="change",
        help="steps a picture (%(default)s)",
    )
    add(
        "--log-interval",
        type=positive,
        default=50,
        on_resume="change",
        help="steps a history row (%(default)s)",
    )
    add(
        "--evaluate-interval",
        metavar="N",
        type=positive,
        on_resume="change",
        help="add scores to the history every N steps (default: never)",
    )
    add(
        "--plot-model",
        metavar="FILE.png",
        type=png,
        shared=False,
        help="draw the networks, then train (Fig. 8.9; needs pydot and Graphviz)",
    )
    add(
        "--distribute",
        metavar="DEVICES",
        type=devices,
        nargs="?",
        const="gpu",
        shared=False,
        help="train on all GPUs, or on cpu:N",
    )
    add("--summary", action="store_true", help="show the networks layer by layer, too")
    add("--resume", action="store_true", help="go on with the run in the output folder")
    add("--overwrite", action="store_true", help="begin anew where a run lies")


def add_sampling_flags(parser: Parser) -> list[str]:
    """Declare what goes with --generator alone; returns the names, of which None is not given."""
    names = []
    group = parser.add_argument_group("sampling")

    def add(*options, **settings):
        names.append(group.add_argument(*options, default=None, **settings).dest)

    add("-g", "--generator", metavar="FILE.h5", help="draw with this generator, don't train")
    help_digit = "draw only this digit" if parser.conditional else argparse.SUPPRESS
    add("-d", "--digit", type=whole_number(0), help=help_digit)
    add("--count", type=whole_number(1), help="how many images (16)")
    add("--interpolate", action="store_true", help="each row walks through the latent space")
    add("--evaluate", action="store_true", help="score 10,000 images instead of drawing")
    return names


def check_together(parser: Parser, params: argparse.Namespace) -> None:
    """Refuse flags that don't go together."""
    if params.digit is not None and not parser.conditional:
        parser.error("--digit goes with acgan-mnist.py and cgan-mnist.py")
    if params.precision == "mixed_bfloat16":
        if params.generator is not None:
            parser.error("--precision goes with training; a generator draws in float32")
        if not has_bfloat16():
            parser.error("--precision=mixed_bfloat16 is slow here: no GPU, no bf16 processor")
    if params.distribute and params.generator is not None:
        parser.error("--distribute goes with training")
    if params.evaluate:
        for name in "digit", "count", "interpolate":
            if getattr(params, name) is not None:
                parser.error(f"--{name} goes with drawing, not with --evaluate")
    if params.generator is None:
        for name in parser.sampling:
            if getattr(params, name) is not None:
                parser.error(f"--{name} goes with --generator=FILE.h5")
        if params.resume and params.overwrite:
            parser.error("--resume and --overwrite exclude each other")
