"""Floating-point operations of a training step: its convolutions and dense layers."""

from importlib import import_module
from math import prod

from lib import data, keras2
from lib.plumbing.tf import tf


def count(function: tf.types.experimental.ConcreteFunction) -> int:
    """Count multiplications and additions of all convolutions and matrix products of a graph.

    Args:
        function: a concrete function; all its shapes are static.
    """
    return sum(_operation(op) for op in _needed(function.graph) if not _zero(op))


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


def _zero(op) -> bool:
    """Say whether an operation gives zeros, which TensorFlow propagates as any gradient.

    A LeakyReLU's slope is constant in pieces: its own gradient is a tensor of zeros.
    """
    if op.type == "Fill":
        return tf.get_static_value(op.inputs[1]) == 0
    if op.type == "AddN":
        return all(_zero(tensor.op) for tensor in op.inputs)
    gradient = {"LeakyReluGrad": 0, "Conv2DBackpropInput": 2, "Conv2DBackpropFilter": 2}
    return op.type in gradient and _zero(op.inputs[gradient[op.type]].op)


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
    """Count the operations of one step of `name`, by the graph of its gan_step.

    So WGAN-GP's penalty needs no formula. By hand, with J operations of the critic for an image:
    - forwards as far as the last activation: J without the last convolution and the dense layer;
    - backwards to the image: J;
    - from the norm through that pass, as forwards: J without the dense layer;
    - from there to the weights: J.
    Nothing goes back through the first pass, of which only the slopes were used.
    """
    script = import_module(f"{name}-mnist")
    params = script.parser.parse_args([f"--batch-size={batch_size}", "--seed=1"])
    dataset = data.load()
    models = script.build_models(params, dataset)
    keras2.build_for_training(*models[1:])
    draw = data.Sampler(params, dataset)
    step = tf.function(lambda: script.gan_step(models, draw, params))
    return count(step.get_concrete_function())
