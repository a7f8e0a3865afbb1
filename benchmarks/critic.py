"""Measure WGAN's critic along a run, or go on from a checkpoint in another way.

    python3 -m benchmarks.critic kept/*/ckpt-*.index
    python3 -m benchmarks.critic kept/38000/ckpt-38000.index --steps=2000 --joint

It prints a table in CSV. Each row is of a checkpoint, or with --steps of every 50 steps from there
on, with the draws that the run itself got:

- critic_loss, generator_loss: means over the last 50 steps, as in a run's history.
- real, fake: mean D(x) and mean D(g(z)) of 1,024 images.
- saturated: the share of the critic's weights within 1% of their bounds.
- real_gradient, fake_gradient: the norms of the gradients of mean D(x) and of mean D(g(z)) by the
  critic's weights, means over batches of 64; joint_gradient: of their difference, the only one that
  the paper's critic follows.
- average: the norm of RMSprop's sqrt(v), by which an update divides its gradient.
"""

import csv
import runpy
import sys
from argparse import Namespace
from pathlib import Path

from benchmarks.lost_hold import WINDOW
from lib import data, keras2
from lib.plumbing.tf import keras, tf
from lib.program.flags import OneLineParser, whole_number
from lib.training.checkpoints import Checkpoints
from lib.training.step import compile_step

import numpy as np

SCRIPT = Namespace(**runpy.run_path(str(Path(__file__).parents[1] / "wgan-mnist.py")))
COUNT = 1024
COLUMNS = (
    *("step", "critic_loss", "generator_loss", "real", "fake", "saturated"),
    *("real_gradient", "fake_gradient", "joint_gradient", "average"),
)


def gan_step(models, draw, params):
    """Take the script's step, but for what `joint` and `training_mode_fakes` change in it."""
    generator, discriminator, adversarial = models
    real_labels = tf.ones((draw.batch_size, 1))
    for _ in range(params.n_critic):
        real_images = draw.images()
        fake_images = generator(draw.noise(), training=params.training_mode_fakes)
        if params.joint:
            images = tf.concat([real_images, fake_images], axis=0)
            labels = tf.concat([real_labels, -real_labels], axis=0)
            discriminator.train_step((images, labels))
        else:
            discriminator.train_step((real_images, real_labels))
            discriminator.train_step((fake_images, -real_labels))
        SCRIPT.clip_weights(discriminator, params.clip_value)
    adversarial.train_step((draw.noise(), real_labels))
    return SCRIPT.gan.step_metrics(discriminator, adversarial)


def flat(variables) -> np.ndarray:
    return np.concatenate([np.ravel(variable) for variable in variables])


@tf.function  # eagerly TensorFlow 2.21 sums the biases' gradients in bfloat16
def measure(models, draw):
    """Return mean D(x), mean D(g(z)), and their gradients by the critic's weights."""
    generator, critic, _ = models
    images = draw.images(), generator(draw.noise(), training=False)
    with tf.GradientTape(persistent=True) as tape:
        means = [tf.reduce_mean(critic(batch, training=False)) for batch in images]
    return means, [tape.gradient(mean, critic.trainable_variables) for mean in means]


def measures(models, probe: data.Sampler, clip_value: float) -> list[float]:
    """Return what the columns from `real` on say of a critic."""
    critic = models[1]
    scores, norms = [], []
    for _ in range(COUNT // probe.batch_size):
        means, gradients = measure(models, probe)
        real, fake = map(flat, gradients)
        scores.append([float(mean) for mean in means])
        norms.append([np.linalg.norm(gradient) for gradient in (real, fake, real - fake)])
    saturated = np.mean(np.abs(flat(critic.trainable_variables)) >= 0.99 * clip_value)
    average = np.sqrt(sum(tf.reduce_sum(v) for v in critic.optimizer.velocities))
    return [*np.mean(scores, axis=0), saturated, *np.mean(norms, axis=0), average]


def main() -> None:
    """Read the flags; measure, and go on."""
    parser = OneLineParser(__doc__)
    add = parser.add_argument
    add("checkpoints", nargs="+", type=Path, metavar="CHECKPOINT", help="their .index files")
    add("--steps", type=whole_number(0), default=0, help="go on so far from the last one (0)")
    add("--precision", choices=("float32", "mixed_bfloat16"), default="float32", help="float32")
    add("--joint", action="store_true", help="one update of the critic on real and fake images")
    add("--training-mode-fakes", action="store_true", help="for the critic too")
    add("--lr", type=float, default=5e-5, help="of both networks (5e-5)")
    params = SCRIPT.parser.parse_args(["--seed=1"])
    vars(params).update(vars(parser.parse_args()))

    dataset = data.load(labels=False)
    keras.config.set_dtype_policy(params.precision)
    models = SCRIPT.build_models(params, dataset)
    keras2.build_for_training(*models[1:])
    draw, probe = (data.Sampler(params, dataset) for _ in range(2))
    take_step = compile_step(gan_step, models, draw, params)
    writer = csv.writer(sys.stdout)
    writer.writerow(COLUMNS)

    def row(step, *losses):
        probe.rng.reset_from_seed(params.seed)  # always the same draws
        cells = [*losses, *measures(models, probe, params.clip_value)]
        writer.writerow([step, *(f"{cell:.5g}" for cell in cells)])
        sys.stdout.flush()

    for path in params.checkpoints:
        run = Checkpoints(path.parents[1], models, draw.rng)
        run.state.restore(str(path.with_suffix(""))).expect_partial()
        progress = run.progress
        past = progress.history[-1]
        row(progress.step, past["discriminator_loss"], past["adversarial_loss"])
    losses = []
    for step in range(progress.step + 1, progress.step + params.steps + 1):
        metrics = take_step()
        losses.append([float(metrics["discriminator_loss"]), float(metrics["adversarial_loss"])])
        if step % WINDOW == 0:
            row(step, *np.mean(losses, axis=0))
            losses.clear()


if __name__ == "__main__":
    main()
