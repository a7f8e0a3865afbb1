"""What test_distribute.py runs in processes of its own: `python3 -m tests.replicas NAME ...`.

TensorFlow's number of devices can be set once a process. `toy` is a script, with a toy GAN;
`on_two` prints a line of JSON.
"""

import json
import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from lib import data, gan
from lib.program.flags import Parser
from lib.program.main import main
from lib.training import distribute
from lib.training.step import prepare

import helpers
import numpy as np
import pytest
import tensorflow as tf
from helpers import TOY_IMAGES, toy_models, toy_params
from tensorflow import keras

RANDOM = np.random.default_rng(0)


def on_each(strategy, function, *arrays):
    """Call a function on each replica, with the replica's share of some arrays."""

    def call():
        share = len(arrays[0]) // strategy.num_replicas_in_sync if arrays else 0
        start = share * tf.distribute.get_replica_context().replica_id_in_sync_group
        return function(*(tf.constant(array)[start:][:share] for array in arrays))

    return tf.function(strategy.run)(call)


def copies(strategy, values):
    """Return what each replica holds, in one array of all values each."""
    found = zip(*map(strategy.experimental_local_results, values), strict=True)
    return [np.concatenate([np.ravel(value) for value in copy]) for copy in found]


def halves():
    """Compare two replicas with half of a batch each to one device with all of it.

    Return how far apart the weights and the optimizer's averages move, and the last losses.
    """
    x = RANDOM.random((8, 4, 4, 1), np.float32)
    y = RANDOM.permutation(np.repeat([[1], [-1]], 4, axis=0)).astype(np.float32)

    def train(devices):
        strategy = distribute.strategy(devices)
        with strategy.scope():
            models = toy_models()
            prepare(models, data.Sampler(toy_params(""), data.dataset(TOY_IMAGES)))
        critic = models[1]
        averages = [v for v in critic.optimizer.variables if v.path.endswith("velocity")]
        parts = critic.trainable_variables, averages
        before = [np.concatenate([np.ravel(v) for v in part]) for part in parts]
        for _ in range(3):
            critic.reset_metrics()
            losses = on_each(strategy, lambda *batch: critic.train_step(batch)["loss"], x, y)
        after = [np.concatenate([np.ravel(v) for v in part]) for part in parts]
        moved = [new - old for new, old in zip(after, before, strict=True)]
        return moved, float(strategy.reduce("mean", losses, axis=None))

    (two, loss_of_two), (one, loss) = train("cpu:2"), train(None)
    gaps = [np.linalg.norm(a - b) / np.linalg.norm(a) for a, b in zip(one, two, strict=True)]
    return {"gaps": [float(gap) for gap in gaps], "losses": [loss, loss_of_two]}


def averages():
    """Compare batch normalization's averages after the whole of a batch and after its halves."""
    x = RANDOM.random((8, 8, 8, 1), np.float32)

    def after(devices, x):
        strategy = distribute.strategy(devices)
        keras.utils.set_random_seed(1)
        with strategy.scope():
            model = gan.discriminator(keras.Input(x.shape[1:]), batch_norm=True)
        on_each(strategy, partial(model, training=True), x)
        return copies(
            strategy, [v.value for v in model.non_trainable_variables if "moving" in v.path]
        )

    first, second = after("cpu:2", x)
    (one,), (other,), (whole,) = (after(None, part) for part in (x[:4], x[4:], x))
    return {
        "between replicas": float(np.linalg.norm(first - second)),
        "to the mean of the halves": float(np.linalg.norm(first - (one + other) / 2)),
        "to the whole": float(np.linalg.norm(first - whole)),
    }


def draws():
    """Return what each replica draws first: two images, and noise for two."""
    strategy = distribute.strategy("cpu:2")
    with strategy.scope():
        draw = data.Sampler(toy_params("", batch_size=4), data.dataset(TOY_IMAGES))
    images, noise = on_each(strategy, lambda: (draw.images(), draw.noise()))
    return [[copy.tolist() for copy in copies(strategy, [drawn])] for drawn in (images, noise)]


def scripts(folder):
    """Train by scripts on two replicas; return their exit statuses."""
    np.savez(f"{folder}/own.npz", x_train=TOY_IMAGES, y_train=np.arange(64) % 3)
    few = [f"--data={folder}/own.npz", f"--output-dir={folder}", "--train-steps=2"]
    with pytest.MonkeyPatch.context() as patch:
        return [
            helpers.main(name, [*few, "--distribute=cpu:2", *flags], patch)
            for name, *flags in (
                ("wgan-gp", "--batch-size=4", "--n-critic=1"),
                ("infogan", "--batch-size=4"),
                ("wgan", "--batch-size=7"),
            )
        ]


def on_two(folder):
    """Try all on two replicas of this process."""
    return {
        "halves": halves(),
        "averages": averages(),
        "draws": draws(),
        "scripts": scripts(folder),
    }


def toy(*words):
    """Be a script that trains a toy GAN; its last line is all weights' bits, however it ends."""
    sys.argv = ["toy-mnist.py", *words]
    parser = Parser("A toy GAN.", "toy")
    for name, default in ("--train-steps", 10), ("--batch-size", 8), ("--latent-size", 3):
        parser.add_hyperparameter(name, default, "")
    models = []

    def build_and_train_models(params):
        models.extend(toy_models())
        images = data.load(params.data, labels=False) if params.data else TOY_IMAGES
        gan.train(models, images, params)

    try:
        main(parser, build_and_train_models)
    finally:
        weights = [weight for model in models[:2] for weight in model.get_weights()]
        print(b"".join(weight.tobytes() for weight in weights).hex())


if __name__ == "__main__":
    result = globals()[sys.argv[1]](*sys.argv[2:])
    if result is not None:
        print(json.dumps(result))
