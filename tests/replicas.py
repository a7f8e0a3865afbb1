"""What test_distribute.py runs in processes of its own: `python3 -m tests.replicas NAME ...`.

Each prints one line of JSON.
"""

import json
import sys
from hashlib import sha256
from importlib import import_module

from lib import cli, data, distribute, flags, keras2

import numpy as np
import tensorflow as tf
from tensorflow import keras

BATCH = 8


def train_discriminator(devices, name, words, x, y, steps):
    """How its weights and its optimizer's averages move, the mean loss of the last step, and
    batch normalization's averages on every replica."""
    strategy = distribute.strategy(devices)
    keras.utils.set_random_seed(1)
    script = import_module(f"{name}-mnist")
    with strategy.scope():
        models = script.build_models(script.parser.parse_args(words), data.load())
        keras2.build_for_training(*models[1:])
    model = models[1]

    def state():
        averages = [v for v in model.optimizer.variables if v.path.endswith("velocity")]
        variables = model.trainable_variables, averages
        return [np.concatenate([np.ravel(value) for value in values]) for values in variables]

    before = state()

    @tf.function
    def step():
        def on_replica():
            share = len(x) // strategy.num_replicas_in_sync
            start = share * tf.distribute.get_replica_context().replica_id_in_sync_group
            model.reset_metrics()
            batch = tf.constant(x)[start:][:share], tf.constant(y)[start:][:share]
            return model.train_step(batch)["loss"]

        return strategy.reduce("mean", strategy.run(on_replica), axis=None)

    for _ in range(steps):
        loss = float(step())
    moved = [after - old for after, old in zip(state(), before, strict=True)]
    averages = [
        [copy.numpy() for copy in strategy.experimental_local_results(weight.value)]
        for weight in model.non_trainable_variables
        if "moving" in weight.path
    ]
    return moved, loss, averages


def batch():
    random = np.random.default_rng(0)
    real = np.repeat([[1], [-1]], BATCH // 2, axis=0).astype(np.float32)
    return random.random((BATCH, 28, 28, 1), np.float32), random.permutation(real)


def distance(some, others):
    return float(sum(np.square(a - b).sum() for a, b in zip(some, others, strict=True)) ** 0.5)


def halves(*names):
    """Two replicas with half of a batch each, and one device with all of it."""

    def compared(name):
        two, loss_of_two, _ = train_discriminator("cpu:2", name, [], *batch(), 3)
        one, loss, _ = train_discriminator(None, name, [], *batch(), 3)
        gaps = [np.linalg.norm(a - b) / np.linalg.norm(a) for a, b in zip(one, two, strict=True)]
        return {"gaps": [float(gap) for gap in gaps], "losses": [loss, loss_of_two]}

    return [compared(name) for name in names]


def averages():
    """Batch normalization's moving averages, after the whole of a batch and after its halves."""
    x, y = batch()
    half = BATCH // 2

    def after(devices, rows):
        return train_discriminator(devices, "dcgan", ["--batch-norm"], x[rows], y[rows], 1)[2]

    first, second = zip(*after("cpu:2", slice(None)), strict=True)  # replica
    rows = slice(half), slice(half, None), slice(None)
    one, other, whole = ([copy for (copy,) in after(None, part)] for part in rows)
    middle = [(some + others) / 2 for some, others in zip(one, other, strict=True)]
    return {
        "between replicas": distance(first, second),
        "to the mean of the halves": distance(first, middle),
        "to the whole": distance(first, whole),
    }


def draws(*words):
    """What each replica of this process draws first: an image and noise."""
    parser = flags.Parser("", "draws")
    parser.add_hyperparameter("--batch-size", BATCH, "")
    parser.add_hyperparameter("--latent-size", 100, "")
    with distribute.scope(parser.parse_args(words)) as params:
        strategy = tf.distribute.get_strategy()
        draw = data.Sampler(params, data.load())
        drawn = tf.function(strategy.run)(lambda: (draw.images(), draw.noise()))
        copies = zip(*map(strategy.experimental_local_results, drawn), strict=True)
        return [[image.shape[0], digest([image]), digest([noise])] for image, noise in copies]


def train(name, *words):
    """The script itself, and what its weights end as in this process."""
    script, models = import_module(f"{name}-mnist"), []
    build_models = script.build_models
    script.build_models = lambda *args: models.extend(build_models(*args)) or models
    sys.argv = [f"{name}-mnist.py", *words]
    cli.main(script.parser, script.build_and_train_models)
    generator, discriminator, _ = models
    return {
        "generator": digest(generator.get_weights()),
        "discriminator": digest(discriminator.get_weights()),
        "largest": max(float(abs(weight).max()) for weight in discriminator.get_weights()),
    }


def digest(arrays):
    return sha256(b"".join(np.asarray(array).tobytes() for array in arrays)).hexdigest()


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](*sys.argv[2:])))
