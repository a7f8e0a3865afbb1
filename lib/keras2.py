"""What Keras 3 computes otherwise than Keras 2, for which the chapter was written.

It uses Keras's private interfaces, as do `generator_file.MemoryFile` and `display.Progbar`.
"""

import re

from lib.plumbing.tf import keras, layers, tf


def replica_mean(values):
    """Return the means of tensors over all replicas; to be called by each of them."""
    replica = tf.distribute.get_replica_context()
    return values if replica.num_replicas_in_sync == 1 else replica.all_reduce("mean", values)


def batch_normalization() -> layers.BatchNormalization:
    """Build Keras's batch normalization of images, which computes as Keras 2 did.

    It does so by TensorFlow's fused operation. Keras 3 strings together a dozen passes over the
    images, in float32 whatever the precision, and leaves Bessel's correction out of the moving
    variance. Only this object does: Keras saves, loads and clones its own layer instead.

    Ioffe and Szegedy 2015, arXiv:1502.03167.
    """
    layer = layers.BatchNormalization()

    def call(inputs, training=None, mask=None):
        training = training and layer.trainable  # as Keras's own
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs,
            layer.gamma,
            layer.beta,
            layer.moving_mean,
            layer.moving_variance,
            epsilon=layer.epsilon,
            is_training=bool(training),
            exponential_avg_factor=1 - layer.momentum,
        )
        if training:
            mean, variance = replica_mean([mean, variance])
            layer.moving_mean.assign(mean)
            layer.moving_variance.assign(variance)
        return outputs

    layer.call = call
    return layer


class Adversarial(keras.Model):
    """Generator and discriminator in a row, of which the generator alone is trained.

    Stands for the chapter's `discriminator.trainable = False`, which in Keras 3 would
    freeze the discriminator in its own training as well. As a frozen model did in Keras 2,
    the discriminator runs in inference mode here.
    """

    def __init__(self, generator, discriminator, name="adversarial", **kwargs):
        name = re.sub(r"[^A-Za-z0-9]", "_", name).lstrip("_") or "adversarial"  # as scopes allow
        super().__init__(name=name, dtype="float32", **kwargs)  # noise goes in as drawn
        self.generator = generator
        self.discriminator = discriminator
        self.output_names = discriminator.output_names
        self(generator.input)  # builds it, for the summary

    def call(self, inputs, training=None):
        images = self.generator(inputs, training=training)
        if len(self.discriminator.inputs) > 1:  # CGAN: judged by the same labels
            images = [images, inputs[1]]
        return self.discriminator(images, training=False)

    @property
    def trainable_weights(self):
        return self.generator.trainable_weights

    @property
    def trainable_variables(self):  # from these Keras builds the optimizer
        return self.generator.trainable_variables

    @property
    def non_trainable_weights(self):  # the summary counts them
        return self.generator.non_trainable_weights + self.discriminator.weights


@keras.utils.register_keras_serializable("improved_gans")
class RMSprop(keras.optimizers.Optimizer):
    """RMSprop as Keras 2 computes it, for the chapter's learning rates to mean the same.

    v = rho v + (1 - rho) g^2;  w -= lr / (1 + decay n) g / (sqrt(v) + epsilon) at step n.

    Keras 3 divides by sqrt(v + epsilon), which swallows the WGAN generator's first
    gradients of 1e-6 to 1e-4. TensorFlow's fused Adam divides as Keras 2 did; without
    momentum and bias correction (beta1 and both powers 0) it is RMSprop in one operation.

    Tieleman and Hinton 2012, lecture 6.5 of Neural Networks for Machine Learning.

    Args:
        lr, decay, rho, epsilon: as above.
        settings: of Keras's Optimizer.
    """

    def __init__(
        self, lr: float, decay: float = 0.0, rho: float = 0.9, epsilon: float = 1e-7, **settings
    ):
        schedule = keras.optimizers.schedules.InverseTimeDecay(lr, 1, decay)
        super().__init__(schedule, **{"name": "rmsprop"} | settings)
        self.constants = {"lr": lr, "decay": decay, "rho": rho, "epsilon": epsilon}
        self.momenta, self.velocities = [], []

    def get_config(self) -> dict:
        settings = super().get_config()
        del settings["learning_rate"]
        return self.constants | settings

    def build(self, variables):
        if not self.built:
            super().build(variables)
            for variable in variables:
                self.momenta.append(self.add_variable_from_reference(variable, "momentum"))
                self.velocities.append(self.add_variable_from_reference(variable, "velocity"))

    def update_step(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self.momenta[index].value.handle,
            v=self.velocities[index].value.handle,
            beta1_power=0.0,
            beta2_power=0.0,
            lr=learning_rate,
            beta1=0.0,
            beta2=self.constants["rho"],
            epsilon=self.constants["epsilon"],
            grad=gradient,
        )


def build_for_training(discriminator: keras.Model, adversarial: Adversarial) -> None:
    """Create the metrics and the optimizers' slots of both compiled models, as `fit` does.

    A compiled step can't under tf.distribute. Checkpoints restore only existing variables.
    """
    y = tf.nest.map_structure(lambda output: tf.zeros((1, *output.shape[1:])), discriminator.output)
    for model in discriminator, adversarial:
        with keras.StatelessScope():  # creates variables, and leaves the values of all as they are
            if model.loss is not None:  # not where a step computes one of its own
                model.compute_loss(y=y, y_pred=y)
            model.compute_metrics(None, y, y)
        model.optimizer.build(model.trainable_variables)
