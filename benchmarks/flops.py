"""Floating-point operations of a training step: its convolutions and dense layers."""

from importlib import import_module
from math import prod

from lib import data
from lib.plumbing.tf import tf


def count(function: tf.types.experimental.ConcreteFunction) -> int:
    """Count multiplications and additions of all convolutions and matrix products of a graph.

    Args:
        function: a concrete function; all its shapes are static.
    """
    return sum(_operation(op) for op in _needed(function.graph))


def _needed(graph) -> set:
    """Return what is executed: gradients that nobody uses are in the graph, but never run."""
    needed = set()
    open_ends = [tensor.op for tensor in graph.outputs]
    open_ends += [op for op in graph.get_operations() if op.op_def.is_stateful]
    while open_ends:
        op = open_ends.pop()
        if op not in needed:
            needed.add(op)
            open_ends += [tensor.op for tensor in op.inputs] + op.control_inputs
    return needed


def _operation(op) -> int:
    if op.type == "MatMul":
        rows_in, columns_in = op.inputs[0].shape
        inner = rows_in if op.get_attr("transpose_a") else columns_in
        return 2 * inner * prod(op.outputs[0].shape)
    # A convolution and both of its gradients multiply the same numbers in pairs: every
    # filter weight with one image position for each position of the convolution's output.
    if op.type == "Conv2D":
        kernel, output = op.inputs[1], op.outputs[0]
    elif op.type == "Conv2DBackpropInput":
        kernel, output = op.inputs[1], op.inputs[2]
    elif op.type == "Conv2DBackpropFilter":
        kernel, output = op.outputs[0], op.inputs[2]
    else:
        return 0
    return 2 * prod(kernel.shape) * prod(output.shape[:3])


def of_step(name: str, batch_size: int) -> int:
    """Count the operations of one step of `name`: wgan, lsgan, ..."""
    script = import_module(f"{name}-mnist")
    params = script.parser.parse_args([])
    generator, discriminator, adversarial = script.build_models(params, data.load())

    def batch(tensors, size):
        specs = [tf.TensorSpec((size, *tensor.shape[1:])) for tensor in tensors]
        return specs if len(specs) > 1 else specs[0]

    noise = batch(generator.inputs, batch_size)
    images = batch(discriminator.inputs, 2 * batch_size)
    draw = tf.function(lambda x: generator(x, training=False)).get_concrete_function(noise)
    discriminate = tf.function(discriminator.train_step).get_concrete_function(
        (images, batch(discriminator.outputs, 2 * batch_size))
    )
    deceive = tf.function(adversarial.train_step).get_concrete_function(
        (noise, batch(discriminator.outputs, batch_size))
    )
    # WGAN's two updates, of one batch each, cost as much as one of two batches.
    rounds = getattr(params, "n_critic", 1)
    return rounds * (count(draw) + count(discriminate)) + count(deceive)
