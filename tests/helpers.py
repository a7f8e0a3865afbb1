"""What several tests need: the scripts as modules and as programs, a toy GAN, files."""

import importlib.util
import json
import re
import socket
import struct
import subprocess
import sys
import zipfile
from argparse import Namespace
from functools import partial
from pathlib import Path

from lib import data, gan
from lib.keras2 import RMSprop
from lib.program.main import main as run_main
from lib.training.run import open_run
from lib.training.step import compile_step

import numpy as np
import tensorflow as tf
from tensorflow import keras

ROOT = Path(__file__).parents[1]
SCRIPTS = ("dcgan", "cgan", "wgan", "lsgan", "acgan")  # the chapter's
ALL_SCRIPTS = (*SCRIPTS, "wgan-gp", "infogan")
CONDITIONAL = ("cgan", "acgan")
FEW_STEPS = ["--train-steps=4", "--save-interval=2", "--log-interval=2", "--batch-size=8"]


def script(name):
    """Import a script, whose name is no identifier, as a module."""
    spec = importlib.util.spec_from_file_location(f"{name}_mnist", ROOT / f"{name}-mnist.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_script(name, *args, cwd, **kwargs):
    """Run a script as a user would; return the finished process with its text output."""
    command = [sys.executable, ROOT / f"{name}-mnist.py", *map(str, args)]
    return subprocess.run(command, check=False, cwd=cwd, capture_output=True, text=True, **kwargs)


def main(name, arguments, monkeypatch):
    """Run a script in this process; return its exit status."""
    monkeypatch.setattr(sys, "argv", [f"{name}-mnist.py", *map(str, arguments)])
    module = script(name)  # its parser takes the program's name from there
    try:
        run_main(module.parser, module.build_and_train_models)
    except SystemExit as end:
        return end.code
    return 0


def blocks(language, text):
    """Return the blocks of code of a language in a page's text."""
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def hunks(diff):
    """Return the (old, new) pairs of a page's diff, without their signs."""
    found = re.findall(r"((?:^-.*\n)+)((?:^\+.*\n)+)", diff, re.MULTILINE)
    return [[re.sub(r"^.", "", part, flags=re.MULTILINE) for part in hunk] for hunk in found]


def apply_hunks(text, hunks):
    """Return a script with the hunks applied; each old text must be there once."""
    for old, new in hunks:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def saved(output):
    """Return the path that a sampling script printed."""
    return Path(re.search(r"^saved (\S+)", output, re.MULTILINE)[1])


def train(name, folder, dataset, *flags, steps=10):
    """Train by a script's own functions in this process; return the models."""
    module = script(name)
    always = ["--batch-size=8", "--save-interval=4", "--log-interval=3", "--seed=5"]
    if name == "wgan":
        always.append("--n-critic=2")  # tracing a step of 5 takes twice as long
    params = module.parser.parse_args(
        [f"--train-steps={steps}", f"--output-dir={folder}", *always, *flags]
    )
    keras.utils.set_random_seed(params.seed)
    models = module.build_models(params, dataset)
    module.train(models, dataset, params)
    return models


TOY_IMAGES = np.random.default_rng(0).integers(0, 256, (64, 4, 4), np.uint8)


def toy_models():
    """Build a GAN of 80 weights that draws images of 4 x 4 from noise of width 3."""
    keras.utils.set_random_seed(5)
    noise, images = keras.Input((3,)), keras.Input((4, 4, 1))
    x = keras.layers.Dense(16, activation="sigmoid")(noise)
    generator = keras.Model(noise, keras.layers.Reshape((4, 4, 1))(x), name="generator")
    score = keras.layers.Dense(1)(keras.layers.Flatten()(images))
    discriminator = keras.Model(images, score, name="discriminator")
    adversarial = gan.Adversarial(generator, discriminator)
    for model, lr in (discriminator, 0.02), (adversarial, 0.01):
        model.compile(loss="mse", optimizer=RMSprop(lr), metrics=["accuracy"])
    return generator, discriminator, adversarial


def toy_params(folder, **params):
    """Return what `toy_run` and `gan.train` train with, in ten steps unless `params` say else."""
    few = {"batch_size": 4, "latent_size": 3, "seed": 5, "model_name": "toy", "train_steps": 10}
    intervals = {"save_interval": 4, "log_interval": 3, "output_dir": str(folder)}
    return Namespace(**few | intervals | params)


def toy_run(folder, meddle=None, images=TOY_IMAGES, models=None, **params):
    """Train a toy GAN in this process; return the models.

    Args:
        folder: of the run `toy`.
        meddle: called with each step that was taken, before the run takes note of it, and with the
            models.
        images: to train on.
        models: of the GAN; those of `toy_models` by default.
        params: other than in `toy_params`.
    """
    models = models or toy_models()
    params = toy_params(folder, **params)
    draw = data.Sampler(params, data.dataset(images))
    plot = partial(gan.plot_images, models[0], draw.noise(16))
    train_step = compile_step(gan.gan_step, models, draw, params)
    with open_run(models, draw, params, plot) as run:
        for step in run.steps():
            metrics = train_step()
            if meddle:
                meddle(step, models)
            run.log(step, metrics)
    return models


def assert_same_weights(models, others):
    """Compare the generators and discriminators of two GANs bit for bit."""
    for model, other in zip(models[:2], others[:2], strict=True):
        for ours, theirs in zip(model.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def results(place):
    """Return what a run leaves in its folder that depends on nothing but seed and parameters."""
    grids = {path.name: path.read_bytes() for path in place.glob("0*.png")}
    return grids | {
        "history": (place / "history.csv").read_text(),
        "gif": (place / "training.gif").read_bytes(),
        "events": events(place),
    }


def events(place):
    """Return every (step, tag) in the TensorBoard events of a run's folder, in order."""
    found = []
    for path in sorted(place.glob("tensorboard/*")):
        for record in tf.data.TFRecordDataset(str(path)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            found += [(event.step, value.tag) for value in event.summary.value]
    return sorted(found)


def local_cluster(size: int) -> list[str]:
    """Return TF_CONFIG of each of `size` workers on this machine, on ports that are free."""
    sockets = [socket.create_server(("localhost", 0)) for _ in range(size)]
    places = [f"localhost:{server.getsockname()[1]}" for server in sockets]
    for server in sockets:
        server.close()
    tasks = [{"type": "worker", "index": index} for index in range(size)]
    return [json.dumps({"cluster": {"worker": places}, "task": task}) for task in tasks]


def npy(shape, descr="|u1", header=None, body=b""):
    """Return a member of an npz file, with the header that NumPy would write or another one."""
    header = header or f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}"
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header.encode() + body


def archive(path, images=None, labels=None, compression=zipfile.ZIP_STORED):
    """Write an npz file of raw members, by default six black images and no labels."""
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("x_train.npy", npy((6, 4, 4), body=bytes(96)) if images is None else images)
        if labels is not None:
            file.writestr("y_train.npy", labels)
