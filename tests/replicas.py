"""What test_distribute.py runs in processes of its own: `python3 -m tests.replicas NAME ...`.

TensorFlow's number of devices can be set once a process. `toy` is a script, with a toy GAN;
`on_two` prints a line of JSON.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from lib import data, gan
from lib.plumbing.errors import UserError
from lib.program.flags import Parser
from lib.program.main import main
from lib.training import distribute
from lib.training.step import prepare

import helpers
import numpy as np
import pytest
import tensorflow as tf
from helpers import TOY_IMAGES, script, toy_models
from tensorflow import keras

BATCH, SIDE = 8, 8


def train_discriminator(devices, name, words, x, y, steps):
    """Return how its weights and the optimizer's averages move, the last loss, and batch
    normalization's averages on every replica.
    """
    strategy = distribute.strategy(devices)
    keras.utils.set_random_seed(1)
    module = script(name)
    with strategy.scope():
        params, dataset = module.parser.parse_args(words), data.dataset(x)
        models = module.build_models(params, dataset)
        prepare(models, data.Sampler(params, dataset))
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
    return random.random((BATCH, SIDE, SIDE, 1), np.float32), random.permutation(real)


def distance(some, others):
    return float(sum(np.square(a - b).sum() for a, b in zip(some, others, strict=True)) ** 0.5)


def halves(name):
    """Compare two replicas with half of a batch each to one device with all of it."""
    two, loss_of_two, _ = train_discriminator("cpu:2", name, [], *batch(), 3)
    one, loss, _ = train_discriminator(None, name, [], *batch(), 3)
    gaps = [np.linalg.norm(a - b) / np.linalg.norm(a) for a, b in zip(one, two, strict=True)]
    return {"gaps": [float(gap) for gap in gaps], "losses": [loss, loss_of_two]}


def averages():
    """Compare batch normalization's averages after the whole of a batch and after its halves."""
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


def scripts(folder, *names):
    """Train two steps by each script on two replicas; return their exit statuses."""
    np.savez(f"{folder}/own.npz", x_train=TOY_IMAGES, y_train=np.arange(64) % 3)
    few = [f"--data={folder}/own.npz", f"--output-dir={folder}", "--batch-size=4"]
    flags = [*few, "--train-steps=2", "--distribute=cpu:2"]
    with pytest.MonkeyPatch.context() as patch:
        return [
            helpers.main(name, flags + ["--n-critic=1"] * name.startswith("wgan"), patch)
            for name in names
        ]


def draws():
    """Return what each replica draws first: images and noise."""
    params = toy_parser().parse_args(["--distribute=cpu:2", "--seed=3"])
    with distribute.scope(params) as params:
        strategy = tf.distribute.get_strategy()
        draw = data.Sampler(params, data.dataset(TOY_IMAGES))
        drawn = tf.function(strategy.run)(lambda: (draw.images(), draw.noise()))
        copies = zip(*map(strategy.experimental_local_results, drawn), strict=True)
        return [[value.numpy().tolist() for value in copy] for copy in copies]


def uneven():
    """Return what is said of a batch that two replicas can't share."""
    try:
        with distribute.scope(toy_parser().parse_args(["--distribute=cpu:2", "--batch-size=7"])):
            return ""
    except UserError as error:
        return str(error)


def on_two(folder):
    """Try all on two replicas of this process."""
    return {
        "halves": [*map(halves, ("lsgan", "wgan"))],
        "averages": averages(),
        "draws": draws(),
        "uneven": uneven(),
        "scripts": scripts(folder, "acgan", "wgan-gp", "infogan"),
    }


def toy_parser():
    parser = Parser("A toy GAN.", "toy")
    parser.add_hyperparameter("--train-steps", 10, "")
    parser.add_hyperparameter("--batch-size", 8, "")
    parser.add_hyperparameter("--latent-size", 3, "")
    return parser


def toy(*words):
    """Be a script that trains a toy GAN; its last line is a sum of all weights' bits."""
    sys.argv = ["toy-mnist.py", *words]
    models = []

    def build_and_train_models(params):
        models.extend(toy_models())
        gan.train(models, TOY_IMAGES, params)

    main(toy_parser(), build_and_train_models)
    weights = np.concatenate([w.ravel() for model in models[:2] for w in model.get_weights()])
    print(weights.tobytes().hex())


if __name__ == "__main__":
    result = globals()[sys.argv[1]](*sys.argv[2:])
    if result is not None:
        print(json.dumps(result))
