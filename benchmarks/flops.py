"""Floating-point operations of a training step: its convolutions and dense layers."""

from math import prod

from benchmarks.contenders import set_up
from lib.plumbing.tf import tf

# Of a convolution and both of its gradients: which of its outputs and inputs, in a row, is the
# kernel, and which has the shape of the convolution's output.
CONVOLUTIONS = {"Conv2D": (2, 0), "Conv2DBackpropInput": (2, 3), "Conv2DBackpropFilter": (0, 3)}


def of_step(name: str, batch_size: int) -> int:
    """Count the operations of one step of `name`, by the graph of its gan_step."""
    script, params, models, draw = set_up(name, batch_size)
    step = tf.function(lambda: script.gan_step(models, draw, params))
    return count(step.get_concrete_function())


def count(function: tf.types.experimental.ConcreteFunction) -> int:
    """Count multiplications and additions of all convolutions and matrix products of a graph, all
    shapes of which are static.
    """
    return sum(_operations(op) for op in _needed(function.graph) if not _zero(op))


def _needed(graph) -> list:
    """Return what is executed: gradients that nobody uses are in the graph, but never run."""
    ends = [tensor.op.name for tensor in graph.outputs]
    ends += [op.name for op in graph.get_operations() if op.op_def.is_stateful]
    part = tf.compat.v1.graph_util.extract_sub_graph(graph.as_graph_def(), ends)
    return [graph.get_operation_by_name(node.name) for node in part.node]


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


def _operations(op) -> int:
    shapes = [tensor.shape for tensor in (*op.outputs, *op.inputs)]
    if op.type == "MatMul":
        return 2 * prod(shapes[0]) * shapes[1][0 if op.get_attr("transpose_a") else 1]
    if op.type not in CONVOLUTIONS:
        return 0
    # all three multiply the same numbers in pairs: every weight of the kernel with one position of
    # the image for each position of the output
    kernel, output = (shapes[index] for index in CONVOLUTIONS[op.type])
    return 2 * prod(kernel) * prod(output[:3])
