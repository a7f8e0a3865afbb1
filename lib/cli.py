"""What a script does when it is started, and how it ends."""

import argparse
import errno
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lib import distribute, folder, sampling, signals
from lib.errors import Finished, Stopped, UserError
from lib.files import ADVICE
from lib.flags import Parser
from lib.tf import keras, tf

import matplotlib


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
        # what names no file is standard output, or has a text of TensorFlow's
        place = error.filename or "standard output"
        reason = f"{place}: {error.strerror}" if error.errno else error
        advice = "make room" if "No space" in str(error) else "check it, or write elsewhere"
        if error.errno in (errno.EMFILE, errno.ENFILE):
            reason, advice = error.strerror, ADVICE[error.errno]
        parser.exit(2, f"{parser.prog}: {reason}: {advice}\n")
    except (MemoryError, tf.errors.ResourceExhaustedError):
        advice = "choose a smaller --batch-size or --count, or close other programs"
        parser.exit(2, f"{parser.prog}: memory ran out: {advice}\n")
    except RuntimeError as error:
        if "start new thread" not in str(error):
            raise
        advice = ADVICE[errno.EAGAIN]
        parser.exit(2, f"{parser.prog}: the system starts no more threads: {advice}\n")
    except Stopped as stopped:
        parser.exit(stopped.status, f"{parser.prog}: {stopped}\n")
    except KeyboardInterrupt:
        parser.exit(130)


def has_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether a GPU or the processor computes in bfloat16; outside Linux the user knows."""
    if tf.config.list_physical_devices("GPU") or not cpuinfo.exists():
        return True
    return "bf16" in cpuinfo.read_text()


def main(parser: Parser, build_and_train_models: Callable) -> None:
    """Train, or use the --generator that is given.

    Args:
        parser: the script's flags.
        build_and_train_models: trains; takes the flags.
    """
    with one_line_errors(parser):
        matplotlib.rcdefaults()  # whatever a matplotlibrc says for other projects
        params = parser.parse_args()
        if params.resume:
            recorded = folder.recorded_hyperparameters(folder.of(params), parser)
            recorded["model_name"] = params.model_name
            params = parser.parse_args(namespace=argparse.Namespace(**recorded))
        if params.precision == "mixed_bfloat16" and not has_bfloat16():
            parser.error("--precision=mixed_bfloat16 is slow here: no GPU, no bf16 processor")
        if params.seed is None:
            params.seed = secrets.randbelow(2**32)
        if params.generator is not None:
            with signals.leaving():
                sampling.use_generator(params, parser.conditional)
            return
        keras.utils.set_random_seed(params.seed)
        keras.mixed_precision.set_global_policy(params.precision)
        with distribute.scope(params) as params:
            build_and_train_models(params)
