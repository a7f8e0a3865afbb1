"""TensorFlow, its Keras, and what lib needs of their settings.

While it is imported, TensorFlow's native code logs a screenful on drivers and processors, whatever
the log level. So the import discards standard error. Later TensorFlow logs errors only.
TF_CPP_MIN_LOG_LEVEL=0 shows everything. The import also turns oneDNN's kernels on, unless
TF_ENABLE_ONEDNN_OPTS=0, and takes Keras 3 on TensorFlow, whatever other projects here use.
"""

import os
import platform
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from lib.plumbing.errors import UserError
from lib.plumbing.process import environment, stderr_discarded

with ExitStack() as stack:
    level = os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3")
    settings = {"KERAS_BACKEND": "tensorflow", "TF_USE_LEGACY_KERAS": "0"}
    settings["TF_CPP_MIN_LOG_LEVEL"] = level
    if platform.machine() in ("x86_64", "AMD64"):
        # TensorFlow leaves it off where a processor has AVX2 alone: 1.7 times as long a step
        settings["TF_ENABLE_ONEDNN_OPTS"] = os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1")
    stack.enter_context(environment(**settings))
    if level != "0":
        stack.enter_context(stderr_discarded())
    import tensorflow as tf

    tf.config.list_physical_devices()  # logs missing drivers now, unseen
    keras, layers = tf.keras, tf.keras.layers

if keras.config.backend() != "tensorflow" or not keras.__version__.startswith("3"):
    raise ImportError(
        f"Keras {keras.__version__} on {keras.config.backend()} was imported before lib, which "
        "needs Keras 3 on TensorFlow: import lib first"
    )


def check_keras_settings() -> None:
    """Raise a UserError where Keras would build other networks than the chapter's."""
    config = keras.config
    if config.floatx() != "float32" or config.image_data_format() != "channels_last":
        raise UserError(
            f"Keras is set to {config.floatx()} and {config.image_data_format()}, perhaps by "
            "~/.keras/keras.json: call keras.config.set_floatx('float32') and "
            "keras.config.set_image_data_format('channels_last')"
        )


@contextmanager
def ordered_updates() -> Iterator[None]:
    """Keep a graph's reads and updates of a variable in the order in which they were written.

    With several updates in one graph, TensorFlow 2.21's dependency optimizer drops control edges
    that order them: in about every second WGAN run it computed some gradient from a weight that
    was already updated. Without it, equal seeds give equal bits.
    """
    options = tf.config.optimizer.get_experimental_options()
    before = options.get("dependency_optimization", True)
    tf.config.optimizer.set_experimental_options({"dependency_optimization": False})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({"dependency_optimization": before})


@contextmanager
def file_errors() -> Iterator[None]:
    """Turn TensorFlow's errors of files into OSErrors."""
    try:
        yield
    except tf.errors.OpError as error:
        reason = re.sub(r"^\{\{.*?\}\} | \[Op:\w+\]", "", error.message.splitlines()[0])
        raise OSError(reason) from error
