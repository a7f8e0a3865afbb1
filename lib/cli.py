"""What a script does when it is started, and how it ends."""

import argparse
import json
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lib import distribute, evaluation, folder, gan, generator_file, signals
from lib.errors import Finished, Stopped, UserError
from lib.files import atomic
from lib.flags import Parser

from tensorflow import keras


@contextmanager
def one_line_errors(parser: argparse.ArgumentParser) -> Iterator[None]:
    """End the program on what the user can mend: one line, status 2."""
    try:
        yield
        sys.stdout.flush()
    except Finished:
        pass
    except UserError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    except BrokenPipeError:
        signals.silence_output()
        parser.exit(128 + signals.SIGPIPE, f"{parser.prog}: standard output was closed\n")
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
            recorded = folder.recorded_hyperparameters(folder.of(params), parser)
            params = parser.parse_args(namespace=argparse.Namespace(**recorded))
        if params.seed is None:
            params.seed = secrets.randbelow(2**32)
        if params.generator is not None:
            act = evaluate if params.evaluate else sample
            act(params, parser.conditional)
            return
        keras.utils.set_random_seed(params.seed)
        keras.mixed_precision.set_global_policy(params.precision)
        with distribute.scope(params) as params:
            build_and_train_models(params)


def sample(params: argparse.Namespace, conditional: bool) -> None:
    """Draw a picture as the sampling flags say, and print its path."""
    generator = generator_file.load(params.generator, conditional)
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
    generator = generator_file.load(params.generator, conditional)
    print("scoring 10,000 images", flush=True)
    rows = {
        Path(params.generator).name: evaluation.evaluate(generator, params.seed),
        "training images": evaluation.evaluate_real(params.seed),
    }
    print(evaluation.table(rows))
    path = Path(params.output_dir) / "test_outputs" / f"{Path(params.generator).stem}_scores.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as temporary:
        temporary.write_text(json.dumps({"seed": params.seed} | rows, indent=2) + "\n")
    print(f"saved {path}")
