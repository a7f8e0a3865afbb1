"""TensorFlow, its Keras, and what lib needs of their settings."""

from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

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
        raise OSError(error.message.splitlines()[0]) from error
