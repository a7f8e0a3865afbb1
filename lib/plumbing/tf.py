"""TensorFlow, its Keras, and what lib needs of their settings.

While it is imported, TensorFlow's native code logs a screenful on drivers and processors, whatever
the log level. So the import discards standard error. Later TensorFlow logs errors only.
TF_CPP_MIN_LOG_LEVEL=0 shows everything. The import also turns oneDNN's kernels on, unless
TF_ENABLE_ONEDNN_OPTS=0.
"""

import os
import platform
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from lib.plumbing.process import environment, stderr_discarded

with ExitStack() as stack:
    level = os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3")
    stack.enter_context(environment(TF_CPP_MIN_LOG_LEVEL=level))
    if platform.machine() in ("x86_64", "AMD64"):
        # TensorFlow leaves it off where a processor has AVX2 alone: 1.7 times as long a step
        onednn = os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1")
        stack.enter_context(environment(TF_ENABLE_ONEDNN_OPTS=onednn))
    if level != "0":
        stack.enter_context(stderr_discarded())
    import tensorflow as tf

    tf.config.list_physical_devices()  # logs missing drivers now, unseen

keras, layers = tf.keras, tf.keras.layers


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
