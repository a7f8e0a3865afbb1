"""What a training step needs: models that go together, and a graph of its own."""

from collections.abc import Callable
from functools import partial

from lib import data
from lib.generator import Generator, check_range
from lib.plumbing.errors import UserError
from lib.plumbing.tf import check_keras_settings, keras, ordered_updates, tf
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
            metrics = compiled()
        if not isinstance(metrics, dict):
            raise UserError("a step has to return metrics by name, as gan.step_metrics does")
        return metrics

    return train_step


def prepare(models, draw: data.Sampler) -> None:
    """Make compiled models ready for `compile_step`, as `fit` does.

    A compiled step can't create metrics and optimizers' slots under tf.distribute, and checkpoints
    restore only variables that exist.

    Args:
        models: (generator, discriminator, adversarial). The first gets an attribute `trained`, the
            Generator that says what it is trained on.

    Raises:
        UserError: they aren't compiled, or don't go together or with the data.
    """
    generator, discriminator, adversarial = models
    dataset = draw.dataset
    generator.trained = Generator(
        generator, dataset.classes, dataset.source, draw.distribution, draw.image_range
    )
    check_keras_settings()
    for model in discriminator, adversarial:
        if getattr(model, "optimizer", None) is None:
            raise UserError(f"{model.name} isn't compiled: call its compile(loss, optimizer)")
    shapes = {
        "the generator draws images": generator.output_shape[1:],
        "the discriminator takes images": tuple(discriminator.inputs[0].shape[1:]),
    }
    for what, shape in shapes.items():
        if shape != dataset.image_shape:
            raise UserError(
                f"{what} of {shape}, the data's are {dataset.image_shape}: build it for those"
            )
    if generator.trained.latent_size != draw.latent_size:
        raise UserError(
            f"the generator takes noise of width {generator.trained.latent_size}, and params has "
            f"latent_size {draw.latent_size}: make them equal"
        )
    check_range(generator, draw.image_range)
    generator.trained.check()  # what no file can hold is refused now, not after hours
    outputs = getattr(discriminator, "output", discriminator.outputs[0])  # a Sequential has none
    y = tf.nest.map_structure(lambda output: tf.zeros((1, *output.shape[1:])), outputs)
    for model in discriminator, adversarial:
        regularized = [(v, v.value) for v in model.trainable_variables if v.regularizer]
        try:
            with keras.StatelessScope(regularized):  # leaves the values of all variables
                if model.loss is not None:  # not where a step computes one of its own
                    model.compute_loss(y=y, y_pred=y)
                model.compute_metrics(None, y, y)
        except (ValueError, KeyError) as error:
            count = len(tf.nest.flatten(y))
            raise UserError(
                f"{model.name} isn't compiled for the discriminator's {count} outputs: {error}"
            ) from error
        model.optimizer.build(model.trainable_variables)
