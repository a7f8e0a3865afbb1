"""The scripts' command line, and how it reports what a user can mend."""

import argparse
import json
import math
import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lib import distribute, gan, run, scores
from lib.files import Stopped, UserError, atomic

import tensorflow as tf
from tensorflow import keras


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
    """The flags that all scripts have, with the chapter's values as defaults.

    A script adds its own to the group `algorithm`. Errors are one line.

    Args:
        description: the script's docstring.
        model_name: names the run's folder and the generator's file.
        lr: the discriminator's learning rate.
        decay: its decay, where the algorithm has one.
        conditional: whether the generator draws a digit of choice.
    """

    def __init__(self, description: str, model_name: str, lr: float, decay=None, conditional=False):
        super().__init__(
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        self.set_defaults(model_name=model_name)
        self.conditional = conditional
        positive = whole_number(1)

        add = self.add_argument
        add(
            "--seed", type=whole_number(0, 2**32 - 1), help="of all random numbers (default: drawn)"
        )
        add("--output-dir", metavar="DIR", default=".", help="where to write (default: here)")

        self.algorithm = self.add_argument_group("training: the algorithm")
        add = self.algorithm.add_argument
        add("--train-steps", type=positive, default=40000, help="generator updates (%(default)s)")
        add("--batch-size", type=positive, default=64, help="images a batch (%(default)s)")
        add("--latent-size", type=positive, default=100, help="width of the noise (%(default)s)")
        add("--lr", type=number, default=lr, help="discriminator's learning rate (%(default)s)")
        if decay is not None:
            add(
                "--decay",
                type=number,
                default=decay,
                help="rate / (1 + decay * step) (%(default)s)",
            )

        add = self.add_argument_group("training: the run").add_argument
        add(
            "--data",
            metavar="FILE.npz",
            type=os.path.abspath,
            help="x_train and y_train in MNIST's layout (MNIST)",
        )
        add(
            "--precision",
            choices=("float32", "mixed_bfloat16"),
            default="float32",
            help="mixed_bfloat16 computes in bfloat16, keeps weights in float32 (%(default)s)",
        )
        add("--save-interval", type=positive, default=500, help="steps a picture (%(default)s)")
        add("--log-interval", type=positive, default=50, help="steps a history row (%(default)s)")
        add(
            "--evaluate-interval",
            metavar="N",
            type=positive,
            help="add scores to the history every N steps (default: never)",
        )
        add(
            "--plot-model",
            metavar="FILE.png",
            type=png,
            help="draw the networks, then train (Fig. 8.9; needs pydot and Graphviz)",
        )
        add(
            "--distribute",
            metavar="DEVICES",
            type=devices,
            nargs="?",
            const="gpu",
            help="train on all GPUs, or on cpu:N",
        )
        add("--resume", action="store_true", help="go on with the run in the output folder")
        add("--overwrite", action="store_true", help="begin anew where a run lies")

        add = self.add_argument_group("sampling").add_argument
        add("-g", "--generator", metavar="FILE.h5", help="draw with this generator, don't train")
        help_digit = "draw only this digit" if conditional else argparse.SUPPRESS
        add("-d", "--digit", type=whole_number(0), help=help_digit)
        add("--count", type=positive, help="how many images (16)")
        add(
            "--interpolate",
            action="store_true",
            default=None,
            help="each row walks through the latent space",
        )
        add(
            "--evaluate",
            action="store_true",
            default=None,
            help="score 10,000 images instead of drawing",
        )

    def error(self, message: str):
        self.exit(2, f"{self.prog}: {message} (--help lists the flags)\n")

    def parse_args(self, args=None, namespace=None) -> argparse.Namespace:
        """The flags, refused where they don't go together."""
        params = super().parse_args(args, namespace)
        if params.digit is not None and not self.conditional:
            self.error("--digit goes with acgan-mnist.py and cgan-mnist.py")
        if params.precision == "mixed_bfloat16":
            if params.generator is not None:
                self.error("--precision goes with training; a generator draws in float32")
            if not has_bfloat16():
                self.error("--precision=mixed_bfloat16 is slow here: no GPU, no bf16 processor")
        if params.distribute and params.generator is not None:
            self.error("--distribute goes with training")
        if params.evaluate:
            for name in "digit", "count", "interpolate":
                if getattr(params, name) is not None:
                    self.error(f"--{name} goes with drawing, not with --evaluate")
        if params.generator is None:
            for name in run.SAMPLING:
                if getattr(params, name) is not None:
                    self.error(f"--{name} goes with --generator=FILE.h5")
            if params.resume and params.overwrite:
                self.error("--resume and --overwrite exclude each other")
        return params


@contextmanager
def one_line_errors(parser: argparse.ArgumentParser) -> Iterator[None]:
    """End the program on what the user can mend: one line, status 2."""
    try:
        yield
    except UserError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}" if error.filename else error
        advice = "make room" if "No space" in str(error) else "check it, or use --output-dir"
        parser.exit(2, f"{parser.prog}: {reason}: {advice}\n")
    except Stopped as stopped:
        parser.exit(stopped.status, f"{parser.prog}: {stopped}\n")
    except KeyboardInterrupt:
        parser.exit(130)


def main(parser: Parser, build_and_train_models: Callable) -> None:
    """Train; with --generator sample, or score.

    Args:
        parser: the script's flags.
        build_and_train_models: trains; takes the flags.
    """
    with one_line_errors(parser):
        params = parser.parse_args()
        if params.resume and params.generator is None:
            parser.set_defaults(**run.recorded_hyperparameters(params))
            params = parser.parse_args()
        if params.seed is None:
            params.seed = secrets.randbelow(2**32)
        if params.generator is not None:
            act = evaluate if params.evaluate else sample
            act(params, parser.conditional)
            return
        keras.utils.set_random_seed(params.seed)
        keras.mixed_precision.set_global_policy(params.precision)
        with distribute.scope(params):
            build_and_train_models(params)


def sample(params: argparse.Namespace, conditional: bool) -> None:
    """Draw a picture as the sampling flags say, and print its path."""
    generator = gan.load_generator(params.generator, conditional)
    path = gan.test_generator(
        generator,
        count=params.count or 16,
        class_label=params.digit,
        seed=params.seed,
        interpolate=bool(params.interpolate),
        model_name=Path(params.output_dir) / "test_outputs",
    )
    print(f"saved {path}")


def evaluate(params: argparse.Namespace, conditional: bool) -> None:
    """Print the scores of the generator in the flags, and write them as JSON."""
    generator = gan.load_generator(params.generator, conditional)
    print("scoring 10,000 images", flush=True)
    rows = {
        Path(params.generator).name: scores.evaluate(generator, params.seed),
        "training images": scores.evaluate_real(params.seed),
    }
    print(scores.table(rows))
    path = Path(params.output_dir) / "test_outputs" / f"{Path(params.generator).stem}_scores.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as temporary:
        temporary.write_text(json.dumps({"seed": params.seed} | rows, indent=2) + "\n")
    print(f"saved {path}")
