"""What several tests need: the scripts as modules and as programs, runs, what runs leave."""

import importlib.util
import json
import re
import socket
import struct
import subprocess
import sys
import zipfile
from functools import partial
from pathlib import Path

from lib import data, gan
from lib.program.main import main as run_main
from lib.training.distribute import compile_step
from lib.training.run import open_run

import tensorflow as tf
from tensorflow import keras

ROOT = Path(__file__).parents[1]
SCRIPTS = ("dcgan", "cgan", "wgan", "lsgan", "acgan")
CONDITIONAL = ("cgan", "acgan")
FEW_STEPS = ["--train-steps=4", "--save-interval=2", "--log-interval=2", "--batch-size=8"]


def script(name):
    """The script as a module; its name is no identifier, so `import` can't."""
    spec = importlib.util.spec_from_file_location(f"{name}_mnist", ROOT / f"{name}-mnist.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_script(name, *args, cwd, **kwargs):
    """Run a script as a user would; returns the finished process with its text output."""
    command = [sys.executable, ROOT / f"{name}-mnist.py", *map(str, args)]
    return subprocess.run(command, check=False, cwd=cwd, capture_output=True, text=True, **kwargs)


def main(name, arguments, monkeypatch):
    """Run a script in this process; returns its exit status."""
    monkeypatch.setattr(sys, "argv", [f"{name}-mnist.py", *map(str, arguments)])
    module = script(name)  # its parser takes the program's name from there
    try:
        run_main(module.parser, module.build_and_train_models)
    except SystemExit as end:
        return end.code
    return 0


def saved(output):
    """The path that a sampling script printed."""
    return Path(re.search(r"^saved (\S+)", output, re.MULTILINE)[1])


def train(name, folder, dataset, *flags, steps=10, meddle=None):
    """Train in this process; returns the models.

    Args:
        meddle: called with each step that was taken, before the run takes note of it, and with the
            models; then the loop is this one instead of the script's.
    """
    module = script(name)
    always = ["--batch-size=8", "--save-interval=4", "--log-interval=3", "--seed=5"]
    if name == "wgan":
        always.append("--n-critic=2")  # tracing a step of 5 takes twice as long
    params = module.parser.parse_args(
        [f"--train-steps={steps}", f"--output-dir={folder}", *always, *flags]
    )
    keras.utils.set_random_seed(params.seed)
    models = module.build_models(params, dataset)
    if meddle is None:
        module.train(models, dataset, params)
        return models
    draw = data.Sampler(params, dataset)
    plot = partial(gan.plot_images, models[0], draw.noise(16))
    train_step = compile_step(module.gan_step, models, draw, params)
    with open_run(models, draw, params, plot) as run:
        for step in run.steps():
            metrics = train_step()
            meddle(step, models)
            run.log(step, metrics)
    return models


def events(place):
    """Every (step, tag) in the TensorBoard events of a run's folder, in order."""
    found = []
    for path in sorted(place.glob("tensorboard/*")):
        for record in tf.data.TFRecordDataset(str(path)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            found += [(event.step, value.tag) for value in event.summary.value]
    return sorted(found)


def local_cluster(size: int) -> list[str]:
    """TF_CONFIG of each of `size` workers on this machine, on ports that are free."""
    sockets = [socket.create_server(("localhost", 0)) for _ in range(size)]
    places = [f"localhost:{server.getsockname()[1]}" for server in sockets]
    for server in sockets:
        server.close()
    tasks = [{"type": "worker", "index": index} for index in range(size)]
    return [json.dumps({"cluster": {"worker": places}, "task": task}) for task in tasks]


def npy(shape, descr="|u1", header=None, body=b""):
    """A member of an npz file, with the header that NumPy would write or another one."""
    header = header or f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}"
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header.encode() + body


def archive(path, images=None, labels=None, compression=zipfile.ZIP_STORED):
    """Write an npz file of raw members, by default six black images and no labels."""
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("x_train.npy", npy((6, 4, 4), body=bytes(96)) if images is None else images)
        if labels is not None:
            file.writestr("y_train.npy", labels)
