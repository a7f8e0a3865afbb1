"""What a script does when it is run, and how it ends."""

import re
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lib.plumbing.errors import Finished, Stopped, UserError
from lib.plumbing.tf import keras, tf
from lib.program.flags import Parser
from lib.sampling.use import use_generator
from lib.training import distribute
from lib.training.checkpoints import read_progress
from lib.training.folder import run_folder

import matplotlib


def main(parser: Parser, build_and_train_models: Callable[[Namespace], None]) -> None:
    """Train, or use the --generator that is given.

    Args:
        parser: the script's flags.
        build_and_train_models: trains; takes the flags.
    """
    with one_line_errors(parser), any_name(), matplotlib.rc_context(), keras_settings():
        matplotlib.rcdefaults()  # whatever a matplotlibrc says for other projects
        params = parser.parse_args()
        if "generator" in params:
            use_generator(params, parser.conditional, parser.num_codes)
            return
        if params.resume:
            metadata = read_progress(run_folder(params)).metadata
            names = {"output_dir": params.output_dir, "model_name": params.model_name}
            params = parser.parse_args(**metadata["parameters"] | names)
        params.command = sys.argv[0]
        if params.precision == "mixed_bfloat16" and not has_bfloat16():
            raise UserError("--precision=mixed_bfloat16 is slow here: no GPU or processor has it")
        for gpu in tf.config.list_physical_devices("GPU"):
            with suppress(RuntimeError):  # a session has begun to use it
                tf.config.experimental.set_memory_growth(gpu, True)  # or all of it is taken
        keras.utils.set_random_seed(params.seed)
        keras.mixed_precision.set_global_policy(params.precision)
        with distribute.scope(params) as params:
            build_and_train_models(params)


@contextmanager
def any_name() -> Iterator[None]:
    """Have standard output show an escape for what it can't encode, as in a class's name."""
    stream = sys.stdout
    before = getattr(stream, "errors", None)
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=before)


@contextmanager
def keras_settings() -> Iterator[None]:
    """Compute as the chapter does, whatever ~/.keras/keras.json says; put the settings back."""
    config = keras.config
    before = config.floatx(), config.epsilon(), config.image_data_format(), config.dtype_policy()
    config.set_floatx("float32")
    config.set_epsilon(1e-7)
    config.set_image_data_format("channels_last")
    config.set_dtype_policy("float32")
    try:
        yield
    finally:
        floatx, epsilon, data_format, policy = before
        config.set_floatx(floatx)
        config.set_epsilon(epsilon)
        config.set_image_data_format(data_format)
        config.set_dtype_policy(policy)


@contextmanager
def one_line_errors(parser: Parser) -> Iterator[None]:
    """End the program on an error: one line, and an exit status."""
    try:
        yield
    except Finished:
        pass
    except UserError as error:
        parser.exit(2, str(error))
    except BrokenPipeError:
        parser.exit(2, "standard output was closed")
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        advice = "make room" if "No space" in str(error) else "check it, or write elsewhere"
        parser.exit(2, f"{what}: {advice}")
    except (MemoryError, tf.errors.ResourceExhaustedError):
        parser.exit(2, "memory ran out: choose a smaller --batch-size or --count, or free some")
    except Stopped as stopped:
        parser.exit(128 + stopped.signum, str(stopped))
    except KeyboardInterrupt:
        parser.exit(130)


def has_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Return whether the GPUs or the processor compute in bfloat16, as far as it can be told.

    A GPU below compute capability 8.0 emulates it. Outside Linux the user knows.
    """
    if gpus := tf.config.list_physical_devices("GPU"):
        details = map(tf.config.experimental.get_device_details, gpus)
        return all(found.get("compute_capability", (8, 0)) >= (8, 0) for found in details)
    return not cpuinfo.exists() or bool(re.search(r"bf16", cpuinfo.read_text()))
