"""A training step as one graph."""

from collections.abc import Callable
from functools import partial

from lib.plumbing.tf import ordered_updates, tf
from lib.training.distribute import on_replicas


def compile_step(step: Callable[..., dict], *arguments) -> Callable[[], dict]:
    """Compile a training step and its arguments into a function without arguments.

    The function takes the step on all replicas. `step` returns its metrics as scalars, the function
    their means over the replicas.
    """
    bound = partial(step, *arguments)
    several = tf.distribute.has_strategy()
    compiled = tf.function((lambda: on_replicas(bound)) if several else bound)

    def train_step():
        with ordered_updates():
            return compiled()

    return train_step
