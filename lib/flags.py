"""The scripts' flags. TensorFlow is imported after them, so that a wrong one is told at once."""

import argparse
import importlib
import logging
import os
import re
import signal
import sys
import textwrap
import warnings
from functools import partial
from pathlib import Path

from lib.flag_types import absolute_path, devices, file_ending, file_name, number, whole_number
from lib.streams import fold, one_line, open_streams


class OneLineParser(argparse.ArgumentParser):
    """Flags, of which a wrong one is told in one line, whatever the standard streams are.

    Args:
        description: the program's docstring.
    """

    def __init__(self, description: str):
        open_streams()
        super().__init__(
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def parse_args(self, args=None, namespace=None) -> argparse.Namespace:
        for word in sys.argv[1:] if args is None else args:
            if re.fullmatch(r"--[\w-]+=--|-\w=?--", word):  # for argparse no value, and no error
                self.error(f"argument {word.removesuffix('--').rstrip('=')}: -- is no value")
        return super().parse_args(args, namespace)

    def error(self, message: str):
        self.exit(2, f"{self.prog}: {message} (--help lists the flags)\n")

    def exit(self, status=0, message=None):
        if message:
            message = one_line(message.rstrip("\n"))
            if sys.stderr.isatty():
                words, mark, command = message.partition("go on with: ")
                # the command in one piece, to be copied
                message = fold(words + mark.rstrip()) + (f"\n{command}" if mark else "")
            message += "\n"
        super().exit(status, message)


class Parser(OneLineParser):
    """The flags of a script: those that all have, and the algorithm's own.

    Args:
        description: the script's docstring.
        model_name: names the run's folder and the generator's file, unless the flags do.
        conditional: whether the generator draws a digit of choice.
    """

    def __init__(self, description: str, model_name: str, conditional: bool = False):
        super().__init__(description)
        self.model_name = model_name
        self.conditional = conditional
        self.recorded = {"seed": "keep", "against_mnist": "change"}
        self.shared, self.training = [], []
        self.algorithm = self.add_argument_group("training: the algorithm")
        add = self.add_argument
        add("--seed", type=whole_number(0, 2**32 - 1), help="of all random numbers (drawn)")
        add("--output-dir", metavar="DIR", default=".", help="where to write (here)")
        add(
            "--against-mnist",
            action=argparse.BooleanOptionalAction,
            default=False,
            help="with --evaluate or --evaluate-interval: score what was trained on other data, too",
        )
        add_run_flags(self)
        self.sampling = add_sampling_flags(self)

    def begin(self) -> None:
        """End the program here if --help is asked or a flag is wrong; then import, which takes seconds.

        Ctrl-C ends it too, at once and without a word, until there is something to save.
        """
        if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # as a shell's `&` has it
            signal.signal(signal.SIGINT, lambda *_: os._exit(130))
        self.parse_args()
        warnings.simplefilter("ignore")  # TensorFlow's, and fatal under PYTHONWARNINGS=error
        logging.getLogger("matplotlib").setLevel("ERROR")  # that it can't cache in this home
        settings = {"matplotlib": "MPLBACKEND", "lib.tf": "~/.keras/keras.json", "h5py": "HDF5"}
        for module, setting in settings.items():
            try:
                importlib.import_module(module)
            except ModuleNotFoundError as error:
                why = f"{error.name} is not installed: pip install -r requirements.txt"
            except Exception as error:  # noqa: BLE001  (of nonsense anything may come)
                reason = textwrap.shorten(f"{type(error).__name__}: {error}", 120)
                why = f"importing fails ({reason}): mend {setting}, or the installation"
            else:
                continue
            self.exit(2, f"{self.prog}: {why}\n")

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
        self.training.append(dest)
        if on_resume:
            self.recorded[dest] = on_resume
        if shared:
            self.shared.append(dest)

    def add_hyperparameter(
        self,
        name: str,
        default: bool | float,
        help: str,
        on_resume: str = "keep",
        high: int = 2**31 - 1,
    ) -> None:
        """Declare a flag of the algorithm: a switch, a whole number from 1 to `high`, or a number
        from 0.
        """
        if isinstance(default, bool):
            settings = {"action": argparse.BooleanOptionalAction, "default": default, "help": help}
        else:
            kind = whole_number(1, high) if isinstance(default, int) else number
            settings = {"type": kind, "default": default, "help": f"{help} (%(default)s)"}
        self.add_flag(self.algorithm, name, on_resume, **settings)

    def parse_args(self, args=None, namespace=None) -> argparse.Namespace:
        """The flags, refused where they don't go together.

        Returns:
            Their values by name; beside them `recorded`, on_resume by the name of each flag
            that belongs to a run, `shared`, the names on which workers must agree, `named`,
            whether the run is called otherwise than the script, and `script`, its own name.
        """
        params = super().parse_args(args, namespace)
        for name, value in vars(params).items():
            if isinstance(value, str) and re.search(r"[\udc80-\udcff]", value):
                self.error(f"--{name.replace('_', '-')}={value} isn't UTF-8: rename it")
        params.recorded, params.shared = self.recorded, self.shared
        check_together(self, params, self._given(args))
        if params.model_name is None:
            params.model_name = self.model_name
            if params.data:
                own = re.sub(r"[^\w.-]+", "_", Path(params.data).stem)
                own = own.encode()[:80].decode(errors="ignore")
                params.model_name = f"{self.model_name.removesuffix('mnist')}{own}"
        params.named = params.model_name != self.model_name
        params.script = self.model_name
        return params

    def _given(self, args) -> set[str]:
        """The names of the flags that are given, be it with their default."""
        absent = object()
        names = [*self.training, *self.sampling]
        params = super().parse_args(args, argparse.Namespace(**dict.fromkeys(names, absent)))
        return {name for name in names if getattr(params, name) is not absent}


def add_run_flags(parser: Parser) -> None:
    """Declare what all scripts know of a run."""
    positive = whole_number(1)
    add = partial(parser.add_flag, parser.add_argument_group("training: the run"))
    add(
        "--data",
        metavar="FILE.npz",
        type=absolute_path,
        on_resume="change",
        shared=False,
        help="x_train, and y_train for acgan and cgan, in MNIST's layout (MNIST)",
    )
    add(
        "--model-name",
        metavar="NAME",
        type=file_name,
        help=f"of the run's folder and generator ({parser.model_name}, or after --data's file)",
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
        type=file_ending(".png"),
        shared=False,
        help="draw the networks instead of training (Fig. 8.9; needs pydot and Graphviz)",
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
    add("--count", type=whole_number(1), help="how many images (16; for --npz 10000)")
    add(
        "--interpolate",
        action="store_true",
        help="each row walks through the latent space; and a GIF of such a walk",
    )
    add("--seconds", type=whole_number(1, 600), help="how long the GIF is (8)")
    add("--explore", action="store_true", help="open a window with sliders to play in")
    add("--evaluate", action="store_true", help="score 10,000 images instead of drawing")
    add(
        "--npz",
        metavar="FILE.npz",
        type=file_ending(".npz"),
        help="write images as a data set, which --data takes, instead of drawing",
    )
    return names


# What goes with each way to use a generator; the last is the one that no flag names.
USES = {
    "evaluate": set(),
    "explore": set(),
    "npz": {"digit", "count"},
    "interpolate": {"digit", "count", "seconds"},
    None: {"digit", "count"},
}


def check_together(parser: Parser, params: argparse.Namespace, given: set[str]) -> None:
    """Refuse flags that don't go together; `given` names those that aren't left to default."""
    if "digit" in given and not parser.conditional:
        parser.error("--digit goes with acgan-mnist.py and cgan-mnist.py")
    if params.generator is None:
        _refuse(parser, given & {*parser.sampling}, "goes with --generator=FILE.h5")
        if params.resume and params.overwrite:
            parser.error("--resume and --overwrite exclude each other")
        if params.evaluate_interval and params.data and not params.against_mnist:
            parser.error(
                "scores compare with MNIST's digits, not with --data: leave out "
                "--evaluate-interval, or add --against-mnist"
            )
        return
    _refuse(parser, given & {*parser.training}, "goes with training, not with --generator")
    use = next(name for name in USES if name in given or name is None)
    sampling = given - {"generator", use}
    why = f"doesn't go with --{use}" if use else "goes with --interpolate"
    _refuse(parser, sampling - USES[use], why)


def _refuse(parser: Parser, names: set[str], why: str) -> None:
    for name in sorted(names):
        parser.error(f"--{name.replace('_', '-')} {why}")
