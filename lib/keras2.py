"""What Keras 3 computes otherwise than Keras 2, for which the chapter was written.

It uses Keras's private interfaces, as do `generator.MemoryFile` and `gan.frozen`.
"""

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


@keras.utils.register_keras_serializable("improved_gans")
class RMSprop(keras.optimizers.Optimizer):
    """RMSprop as Keras 2 computes it, for the chapter's learning rates to mean the same.

    v = rho v + (1 - rho) g^2;  w -= lr / (1 + decay n) g / (sqrt(v) + epsilon) at step n.

    Keras 3 divides by sqrt(v + epsilon), which swallows the WGAN generator's first
    gradients of 1e-6 to 1e-4. TensorFlow's fused Adam divides as Keras 2 did; without
    momentum and bias correction (beta1 and both powers 0) it is RMSprop in one operation.

    Tieleman and Hinton 2012, lecture 6.5 of Neural Networks for Machine Learning.

    Args:
        learning_rate, or lr: a number or Keras's schedule.
        decay, rho, epsilon: as above.
        settings: of Keras's Optimizer.
    """

    def __init__(self, learning_rate=None, decay=0.0, rho=0.9, epsilon=1e-7, lr=None, **settings):
        rate = lr if learning_rate is None else learning_rate
        super().__init__(rate, **{"name": "rmsprop"} | settings)
        self.constants = {"decay": decay, "rho": rho, "epsilon": epsilon}
        self.momenta, self.velocities = [], []

    def get_config(self) -> dict:
        return self.constants | super().get_config()

    def build(self, variables):
        if not self.built:
            super().build(variables)
            for variable in variables:
                self.momenta.append(self.add_variable_from_reference(variable, "momentum"))
                self.velocities.append(self.add_variable_from_reference(variable, "velocity"))

    def _all_reduce_sum_gradients(self, grads_and_vars):
        # Keras's registers a gradient of the sum with TensorFlow, which for that keeps the step's
        # graph, and the images in it, until the process ends
        if tf.distribute.get_replica_context().num_replicas_in_sync == 1:
            return grads_and_vars
        return super()._all_reduce_sum_gradients(grads_and_vars)

    def update_step(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        steps = tf.cast(self.iterations, tf.float32)
        rate = tf.cast(learning_rate, tf.float32) / (1 + self.constants["decay"] * steps)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self.momenta[index].value.handle,
            v=self.velocities[index].value.handle,
            beta1_power=0.0,
            beta2_power=0.0,
            lr=rate,
            beta1=0.0,
            beta2=self.constants["rho"],
            epsilon=self.constants["epsilon"],
            grad=gradient,
        )
