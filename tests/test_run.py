"""Runs: what they record, and that they go on where they were stopped, killed or repeated."""

import csv
import errno
import fcntl
import json
import multiprocessing
import os
import random
import re
import resource
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

from lib import gan
from lib.gan import Adversarial
from lib.keras2 import RMSprop
from lib.plumbing.errors import Finished, Stopped, UserError
from lib.training import record, run
from lib.training.checkpoints import prefixes
from lib.training.display import shortened
from lib.training.run import STOP, stop_requests

import numpy as np
import pytest
import tensorflow as tf
from helpers import (
    ROOT,
    TOY_IMAGES,
    events,
    main,
    results,
    toy_models,
    toy_params,
    toy_run,
)
from PIL import Image, ImageSequence
from tensorflow import keras


def signal_at(step, signum):
    """Return what signals this process while it works on `step`."""

    def meddle(current, _models):
        if current == step:
            os.kill(os.getpid(), signum)

    return meddle


def assert_same_weights(models, others):
    for model, other in zip(models[:2], others[:2], strict=True):
        for ours, theirs in zip(model.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def rows(folder):
    with open(folder / "toy" / "history.csv", newline="") as file:
        return list(csv.DictReader(file))


def grids(folder):
    return sorted(path.name for path in (folder / "toy").glob("0*.png"))


METRICS = ("loss", "accuracy")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return the folder and the models of a run of 10 steps that was never stopped."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, toy_run(folder)


def test_the_record(whole):
    folder, _ = whole
    place = folder / "toy"
    names = [f"{model}_{what}" for model in ("discriminator", "adversarial") for what in METRICS]
    assert list(rows(folder)[0]) == ["step", *names]
    assert [row["step"] for row in rows(folder)] == ["3", "6", "9", "10"]
    assert grids(folder) == ["00001.png", "00004.png", "00008.png", "00010.png"]
    samples = [(step, "samples") for step in (1, 4, 8, 10)]
    scalars = [(step, name) for step in (3, 6, 9, 10) for name in names]
    assert events(place) == sorted(samples + scalars)
    with Image.open(place / "training.gif") as gif:
        assert gif.n_frames == 4
    with Image.open(place / "losses.png") as image:
        assert image.size == (640, 480)
    assert (place / "networks.txt").read_text().count('Model: "') == 3


def test_the_facts(whole):
    facts = json.loads((whole[0] / "toy" / "run.json").read_text())
    parameters = {"seed": 5, "batch_size": 4, "train_steps": 10, "precision": "float32"}
    assert parameters.items() <= facts["parameters"].items()
    assert facts["versions"]["tensorflow"] == tf.__version__
    assert facts["started"] <= facts["ended"]
    assert facts["steps_per_second"] > 0


def test_the_history_holds_means_over_the_interval(tmp_path):
    toy_run(tmp_path / "each", train_steps=6, log_interval=1)
    toy_run(tmp_path / "means", train_steps=6, log_interval=3)
    each, means = (
        np.array([[float(value) for value in row.values()] for row in rows(tmp_path / name)])
        for name in ("each", "means")
    )
    np.testing.assert_allclose(means[:, 1:], each[:, 1:].reshape(2, 3, 4).mean(axis=1), rtol=1e-6)


def test_a_long_animation_is_thinned_from_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "MAX_FRAMES", 3)
    pictures = [tmp_path / f"{step:05d}.png" for step in range(1, 9)]
    for level, picture in enumerate(pictures):
        Image.new("L", (4, 4), 30 * level).save(picture)
    record.write_gif(pictures, tmp_path / "training.gif")
    with Image.open(tmp_path / "training.gif") as gif:
        frames = [frame.convert("L").getpixel((0, 0)) for frame in ImageSequence.Iterator(gif)]
    assert frames == [30 * level for level in (1, 4, 7)]


def test_a_checkpoint_is_due_every_few_minutes(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "CHECKPOINT_SECONDS", 0)
    toy_run(tmp_path, train_steps=3, save_interval=100)
    assert [Path(prefix).name for prefix in prefixes(tmp_path / "toy")] == ["ckpt-3", "ckpt-2"]


def test_a_step_is_one_graph(tmp_path):
    """Calls each model's Python while it is traced, at most twice, and not at each step."""
    models, calls = toy_models(), []
    for model in models[1:]:
        step = model.train_step
        model.train_step = lambda *args, step=step: calls.append(step) or step(*args)
    toy_run(tmp_path, models=models)
    assert len(calls) in (2, 4)


def test_a_terminal_shows_a_bar_with_the_losses(tmp_path, monkeypatch, capsys):
    """Prints other lines above the bar, and no line is wider than the terminal."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")
    toy_run(tmp_path, lambda step, _models: print(f"a line of step {step}"), train_steps=4)
    out = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", capsys.readouterr().out)
    before, _, last = out.rpartition("4/4 ━")
    assert "a line of step 4" in before
    bar, metrics, *_ = re.split(r"[\r\n]+", last)
    assert "s/step" in bar
    assert re.match(r"d_loss=\d\S* a_loss=\d\S* d_acc=\d\S* a_acc=\d", metrics)
    assert max(len("4/4 ━" + bar), len(metrics)) <= 60


def test_the_bar_of_acgan_shows_totals_and_accuracies():
    """Fits on 77 columns what tells most."""
    means = {
        f"{model}_{what}": 0.1234
        for model in ("discriminator", "adversarial")
        for what in ("loss", "label_accuracy", "label_loss", "source_accuracy", "source_loss")
    }
    names = ["d_loss", "a_loss", "d_label_acc", "a_label_acc", "d_source_acc"]
    assert [name for name, _ in shortened(means)][:5] == names


@pytest.mark.parametrize("lacking", ["flock", "fsync"])
def test_a_file_system_without_locks_or_flushes_of_folders(lacking, tmp_path, monkeypatch, capsys):
    fsync = os.fsync

    def fail(descriptor, *_):
        if lacking == "fsync" and not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            return fsync(descriptor)
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(*((fcntl, "flock") if lacking == "flock" else (os, "fsync")), fail)
    toy_run(tmp_path, train_steps=1)
    assert "this file system" in capsys.readouterr().out


def test_a_table_that_is_in_use_is_replaced_later(tmp_path, monkeypatch, capsys):
    """As on Windows, while a spreadsheet shows it."""
    replace, refused = os.replace, []

    def refuse_once(source, target):
        if str(target).endswith("history.csv") and not refused:
            refused.append(target)
            raise PermissionError(errno.EACCES, "in use", str(source), None, str(target))
        replace(source, target)

    monkeypatch.setattr(os, "replace", refuse_once)
    toy_run(tmp_path)
    assert "history.csv is in use" in capsys.readouterr().out
    assert [row["step"] for row in rows(tmp_path)] == ["3", "6", "9", "10"]


class Nested(keras.layers.Layer):
    """Has its layers in a list, where TensorFlow's checkpoints find none."""

    def __init__(self):
        super().__init__()
        self.blocks = [keras.layers.Dense(4), keras.layers.Dropout(0.5)]

    def build(self, shape):
        self.blocks[0].build(shape)

    def call(self, inputs, training=None):
        for block in self.blocks:
            inputs = block(inputs) if block is self.blocks[0] else block(inputs, training=training)
        return inputs


def own_models(**settings):
    """Build the toy GAN with a critic that draws random numbers and normalizes its weights."""
    generator, _, _ = toy_models()
    images = keras.Input((4, 4, 1))
    x = keras.layers.SpectralNormalization(keras.layers.Conv2D(4, 3))(images)
    x = Nested()(keras.layers.GaussianNoise(0.1)(keras.layers.Flatten()(x)))
    discriminator = keras.Model(images, keras.layers.Dense(1)(x), name="discriminator")
    adversarial = Adversarial(generator, discriminator)
    discriminator.compile(loss="mse", optimizer=RMSprop(0.02), metrics=["accuracy"])
    adversarial.compile(
        loss="mse", optimizer=keras.optimizers.Adam(0.01, **settings), metrics=["accuracy"]
    )
    return generator, discriminator, adversarial


def test_networks_of_ones_own_resume_with_the_same_bits(tmp_path):
    whole = toy_run(tmp_path / "whole", models=own_models(use_ema=True, ema_momentum=0.9))
    toy_run(tmp_path, models=own_models(use_ema=True, ema_momentum=0.9), train_steps=5)
    models = own_models(use_ema=True, ema_momentum=0.9)
    assert_same_weights(toy_run(tmp_path, models=models, resume=True), whole)
    assert results(tmp_path / "toy") == results(tmp_path / "whole" / "toy")

    # averages are drawn and saved, and training goes on from the weights
    plain = toy_run(tmp_path / "plain", models=own_models())
    assert_same_weights(plain, whole)
    averaged = keras.models.load_model(tmp_path / "toy.h5").get_weights()
    assert not np.array_equal(averaged[0], whole[0].get_weights()[0])
    assert grid_of(tmp_path) != grid_of(tmp_path / "plain")


def grid_of(folder):
    return (folder / "toy" / "00010.png").read_bytes()


def test_parameters_compare_as_json_has_them(tmp_path):
    toy_run(tmp_path, train_steps=1, sizes=(1, np.float32(2)))
    toy_run(tmp_path, train_steps=2, sizes=(1, np.float32(2)), resume=True)


def test_resume_where_no_run_is_says_how_to_begin(tmp_path):
    with pytest.raises(UserError, match="there is no run in .*toy: leave out --resume to begin"):
        toy_run(tmp_path, resume=True)
    toy_run(tmp_path, train_steps=1)


def test_a_resumed_run_equals_the_uninterrupted_one(whole, tmp_path):
    folder, models = whole
    handlers = [signal.getsignal(signum) for signum in STOP]
    for step, signum in (2, signal.SIGHUP), (4, signal.SIGTERM), (9, signal.SIGINT):
        with pytest.raises(Stopped, match=f"after step {step}.*resume = True") as stopped:
            toy_run(tmp_path, signal_at(step, signum), resume=step > 2)
        assert stopped.value.signum == signum
        assert [signal.getsignal(signum) for signum in STOP] == handlers
        assert f"{step:05d}.png" in grids(tmp_path)
        assert rows(tmp_path)[-1]["step"] == str(step)
        keras.models.load_model(tmp_path / "toy.h5")  # the generator as it is
    sweep = tmp_path / "toy" / "code1" / "00009.png"  # InfoGAN's, as it was when it was stopped
    sweep.parent.mkdir()
    sweep.touch()
    assert_same_weights(toy_run(tmp_path, resume=True), models)
    assert results(tmp_path / "toy") == results(folder / "toy")
    assert not sweep.exists()


def test_a_run_may_grow(whole, tmp_path):
    folder, models = whole
    toy_run(tmp_path, train_steps=5)
    assert_same_weights(toy_run(tmp_path, resume=True), models)
    assert results(tmp_path / "toy") == results(folder / "toy")


def test_a_stopped_run_may_end_where_it_is(tmp_path):
    with pytest.raises(Stopped):
        toy_run(tmp_path, signal_at(5, signal.SIGINT))
    stopped = results(tmp_path / "toy")
    toy_run(tmp_path, resume=True, train_steps=5)
    assert results(tmp_path / "toy") == stopped
    facts = json.loads((tmp_path / "toy" / "run.json").read_text())
    assert facts["steps"] == facts["parameters"]["train_steps"] == 5


def test_intervals_may_change_on_resume(whole, tmp_path):
    toy_run(tmp_path, train_steps=5)
    models = toy_run(tmp_path, resume=True, save_interval=3, log_interval=1)
    assert_same_weights(models, whole[1])
    assert grids(tmp_path) == [f"{step:05d}.png" for step in (1, 4, 6, 9, 10)]
    assert [row["step"] for row in rows(tmp_path)] == [*"36789", "10"]


def test_a_run_is_not_lost_by_a_slip(tmp_path):
    toy_run(tmp_path, train_steps=4)
    before = results(tmp_path / "toy"), (tmp_path / "toy.h5").read_bytes()
    for match, params in (
        ("already.*--resume.*--overwrite", {}),
        ("batch_size 4, not 8", {"resume": True, "batch_size": 8}),
        ("has taken 4 steps already: give --train-steps=4", {"resume": True, "train_steps": 3}),
        ("is of None", {"resume": True, "script": "other"}),
        ("began with other images", {"resume": True, "images": TOY_IMAGES[::-1]}),
    ):
        with pytest.raises(UserError, match=match):
            toy_run(tmp_path, **params)
    with pytest.raises(Finished):
        toy_run(tmp_path, resume=True, train_steps=4)
    gan.train(toy_models(), TOY_IMAGES, toy_params(tmp_path, resume=True, train_steps=4))
    assert (results(tmp_path / "toy"), (tmp_path / "toy.h5").read_bytes()) == before

    own = [tmp_path / "toy" / name for name in ("notes.txt", "1st-good.png")]
    for path in own:
        path.write_text("the user's own")
    toy_run(tmp_path, overwrite=True, train_steps=3)
    assert all(path.exists() for path in own)
    assert grids(tmp_path) == ["00001.png", "00003.png"]
    (tmp_path / "toy").rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="toy.h5.*--overwrite"):  # the generator is left
        toy_run(tmp_path)


def test_a_step_that_fails_at_once_leaves_nothing_in_the_way(tmp_path):
    def fail(step, models):
        raise RuntimeError("a slip in the step")

    with pytest.raises(RuntimeError, match="a slip"):
        toy_run(tmp_path, fail)
    toy_run(tmp_path, train_steps=1)


def test_two_never_write_one_run(tmp_path):
    """Locks the folder; of two processes, or as here two runs in one, the second is refused."""
    refused = []

    def start_another(step, _models):
        for params in {"resume": True}, {"overwrite": True}, {}:
            with pytest.raises(UserError, match="another process trains in") as error:
                toy_run(tmp_path, **params)
            refused.append(error)

    toy_run(tmp_path, start_another, train_steps=2)
    assert len(refused) == 6
    toy_run(tmp_path, resume=True, train_steps=3)


def test_a_diverging_run_saves_nothing(tmp_path):
    with pytest.raises(UserError, match="diverged.*is not finite; nothing was saved yet"):
        toy_run(tmp_path, spoil_at(1), save_interval=1)
    assert not (tmp_path / "toy.h5").exists()
    assert not prefixes(tmp_path / "toy")


def spoil_at(step):
    """Return what makes a weight NaN at a step. Which metrics show it, and when, isn't said."""

    def meddle(current, models):
        if current == step:
            weight = models[0].weights[0]
            weight.assign(weight * np.nan)

    return meddle


def test_a_diverged_run_keeps_its_last_good_state(tmp_path):
    with pytest.raises(UserError, match="diverged.*last good checkpoint is .*ckpt-5"):
        toy_run(tmp_path, spoil_at(6), save_interval=1, log_interval=1)
    generator = keras.models.load_model(tmp_path / "toy.h5")
    assert all(np.isfinite(weight).all() for weight in generator.get_weights())
    assert grids(tmp_path)[-1] == "00005.png"
    assert [row["step"] for row in rows(tmp_path)][:5] == [*"12345"]
    assert all(np.isfinite(float(value)) for row in rows(tmp_path) for value in row.values())


@pytest.mark.parametrize("limit, name", [(8_000, "toy.h5"), (100_000, "ckpt-6")])
def test_a_full_disk_costs_only_what_came_after_the_last_checkpoint(limit, name, tmp_path, whole):
    """Allows no file above a size, so that the generator doesn't fit, or the checkpoint."""

    def few():
        models = toy_models()
        models[1].ballast = tf.Variable(np.zeros(50_000, np.float32))  # in checkpoints alone
        return models

    toy_run(tmp_path, models=few(), train_steps=5)
    generator = (tmp_path / "toy.h5").read_bytes()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(OSError, match=name):
            toy_run(tmp_path, models=few(), resume=True, train_steps=6)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    if name == "toy.h5":
        assert (tmp_path / "toy.h5").read_bytes() == generator
    assert prefixes(tmp_path / "toy")[0].endswith("ckpt-5")
    assert_same_weights(toy_run(tmp_path, models=few(), resume=True), whole[1])
    assert not [*tmp_path.rglob("ckpt-6*"), *tmp_path.rglob(".tmp*")]


def test_what_nohup_ignores_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_requests() as received:
            os.kill(os.getpid(), signal.SIGHUP)
            os.kill(os.getpid(), signal.SIGTERM)
        assert received == [signal.SIGTERM]
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_second_ctrl_c_is_python_s_own():
    with pytest.raises(KeyboardInterrupt), stop_requests() as received:
        os.kill(os.getpid(), signal.SIGINT)
        assert received == [signal.SIGINT]
        os.kill(os.getpid(), signal.SIGINT)


def test_a_thread_may_train(tmp_path):
    """Trains by gan.train where Python hears no signals, as in some notebooks."""
    arguments = toy_models(), TOY_IMAGES, toy_params(tmp_path)
    thread = threading.Thread(target=gan.train, args=arguments)
    thread.start()
    thread.join()
    assert grids(tmp_path)[-1] == "00010.png"


def killed_child(folder):
    """Train without an end, in a process that is going to be killed."""
    resume = bool(prefixes(Path(folder, "toy")))
    toy_run(folder, save_interval=1, resume=resume, overwrite=not resume, train_steps=10**6)


def test_kills_at_random_moments(tmp_path, monkeypatch):
    """Kill a run 6 times, half of them while a checkpoint is written; nothing is lost by it."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # for the server of the forks
    context = multiprocessing.get_context("forkserver")  # which imports TensorFlow once
    context.set_forkserver_preload(["test_run"])
    chance, steps = random.Random(0), []
    for kill in range(6):
        old = {*tmp_path.glob("toy/checkpoints/*")}
        child = context.Process(target=killed_child, args=[tmp_path])
        child.start()
        while child.is_alive() and {*tmp_path.glob("toy/checkpoints/*")} <= old:
            time.sleep(0.001)
        if kill % 2:
            time.sleep(chance.uniform(0, 0.3))
        child.kill()
        child.join()
        assert child.exitcode == -signal.SIGKILL, "the run ended by itself"
        steps.append(
            max([int(prefix.rpartition("-")[2]) for prefix in prefixes(tmp_path / "toy")] or [0])
        )
    assert steps == sorted(steps)
    assert steps[-1] > 0
    last = {"save_interval": 1, "train_steps": steps[-1] + 2}
    models = toy_run(tmp_path, resume=True, **last)
    assert_same_weights(models, toy_run(tmp_path / "whole", **last))
    assert results(tmp_path / "toy") == results(tmp_path / "whole" / "toy")


@pytest.fixture
def start(tmp_path):
    """Return what starts lsgan-mnist.py in tmp_path."""
    processes = []

    def begin(*flags):
        command = [sys.executable, ROOT / "lsgan-mnist.py", *flags]
        pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        processes.append(subprocess.Popen(command, cwd=tmp_path, **pipes))
        return processes[-1]

    yield begin
    for process in processes:
        process.kill()
        process.wait()


def wait_for_checkpoint(process, place, step):
    while not (saved := prefixes(place)) or int(saved[0].rpartition("-")[2]) < step:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)


def test_a_script_is_killed_then_interrupted(start, tmp_path, monkeypatch):
    place = tmp_path / "lsgan_mnist"
    few = ["--batch-size=4", "--seed=3", "--save-interval=2", "--log-interval=1"]
    killed = start(*few)
    wait_for_checkpoint(killed, place, 2)
    killed.kill()
    killed.wait()
    newest = int(prefixes(place)[0].rpartition("-")[2])
    interrupted = start("--resume")
    wait_for_checkpoint(interrupted, place, newest + 2)
    interrupted.send_signal(signal.SIGINT)
    _, error = interrupted.communicate(timeout=600)
    assert interrupted.returncode == 130
    finishing, said = error.strip().splitlines()
    assert finishing == "finishing this step; Ctrl-C again stops at once"
    (step,) = re.findall(
        r"stopped after step (\d+), all of it saved.*lsgan-mnist.py --resume", said
    )

    monkeypatch.chdir(tmp_path)
    end = f"--train-steps={int(step) + 1}"
    assert main("lsgan", ["--resume", end], monkeypatch) == 0
    assert main("lsgan", [*few, end, "--output-dir=whole"], monkeypatch) == 0
    assert results(place) == results(tmp_path / "whole" / "lsgan_mnist")
    generators = tmp_path / "lsgan_mnist.h5", tmp_path / "whole" / "lsgan_mnist.h5"
    assert_same_weights(*[[keras.models.load_model(path)] for path in generators])
