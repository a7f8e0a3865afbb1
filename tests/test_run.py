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
from shutil import copytree

from lib import gan
from lib.plumbing.errors import Finished, Stopped, UserError
from lib.training import record, run
from lib.training.checkpoints import prefixes
from lib.training.run import STOP, stop_requests

import numpy as np
import pytest
import tensorflow as tf
from helpers import (
    ROOT,
    TOY_IMAGES,
    assert_same_weights,
    events,
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


def test_the_metadata(whole):
    facts = json.loads((whole[0] / "toy" / "run.json").read_text())
    parameters = {"seed": 5, "batch_size": 4, "train_steps": 10, "precision": "float32"}
    assert parameters.items() <= facts["parameters"].items()
    assert facts["versions"]["tensorflow"] == tf.__version__
    assert facts["started"] <= facts["ended"]
    assert facts["steps_per_second"] > 0


def test_each_step_is_taken_in_one_graph_and_counts(whole, tmp_path, monkeypatch):
    """The history has means over the interval; a checkpoint is due every few minutes too."""
    models, calls = toy_models(), []
    for model in models[1:]:
        step = model.train_step
        model.train_step = lambda *args, step=step: calls.append(step) or step(*args)
    monkeypatch.setattr(run, "CHECKPOINT_SECONDS", 0)
    toy_run(tmp_path, models=models, log_interval=1, save_interval=100, train_steps=9)
    assert len(calls) in (2, 4)  # Python runs while the step is traced
    each, means = (
        np.array([[float(value) for value in row.values()] for row in rows(folder)])
        for folder in (tmp_path, whole[0])
    )
    np.testing.assert_allclose(means[:3, 1:], each[:, 1:].reshape(3, 3, 4).mean(axis=1), rtol=1e-6)
    assert [Path(prefix).name for prefix in prefixes(tmp_path / "toy")] == ["ckpt-9", "ckpt-8"]


def test_a_long_animation_is_thinned_from_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "MAX_FRAMES", 3)
    pictures = [tmp_path / f"{step:05d}.png" for step in range(1, 9)]
    for level, picture in enumerate(pictures):
        Image.new("L", (4, 4), 30 * level).save(picture)
    record.write_gif(pictures, tmp_path / "training.gif")
    with Image.open(tmp_path / "training.gif") as gif:
        frames = [frame.convert("L").getpixel((0, 0)) for frame in ImageSequence.Iterator(gif)]
    assert frames == [30 * level for level in (1, 4, 7)]


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


def test_a_file_system_without_locks_and_flushes_of_folders(tmp_path, monkeypatch, capsys):
    fsync = os.fsync

    def refuse(*_):
        raise OSError(errno.EINVAL, "Invalid argument")

    def flush_files(descriptor):
        (refuse if stat.S_ISDIR(os.fstat(descriptor).st_mode) else fsync)(descriptor)

    monkeypatch.setattr(os, "fsync", flush_files)
    monkeypatch.setattr(fcntl, "flock", refuse)
    toy_run(tmp_path, train_steps=1)
    out = capsys.readouterr().out
    assert "this file system has no locks" in out
    assert "this file system flushes no folders" in out


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


@pytest.fixture(scope="module")
def half(tmp_path_factory):
    """Return the folder of a run that was asked for 5 steps."""
    folder = tmp_path_factory.mktemp("half")
    toy_run(folder, train_steps=5, sizes=(1, np.float32(2)))
    return folder


def test_a_run_may_grow(whole, half, tmp_path):
    """Its parameters compare as JSON has them."""
    folder, models = whole
    copytree(half, tmp_path, dirs_exist_ok=True)
    assert_same_weights(toy_run(tmp_path, resume=True, sizes=(1, np.float32(2))), models)
    assert results(tmp_path / "toy") == results(folder / "toy")


def test_a_stopped_run_may_end_where_it_is(tmp_path):
    with pytest.raises(Stopped):
        toy_run(tmp_path, signal_at(5, signal.SIGINT))
    stopped = results(tmp_path / "toy")
    toy_run(tmp_path, resume=True, train_steps=5)
    assert results(tmp_path / "toy") == stopped
    facts = json.loads((tmp_path / "toy" / "run.json").read_text())
    assert facts["steps"] == facts["parameters"]["train_steps"] == 5


def test_intervals_may_change_on_resume(whole, half, tmp_path):
    copytree(half, tmp_path, dirs_exist_ok=True)
    models = toy_run(tmp_path, resume=True, save_interval=3, log_interval=1, sizes=(1, 2))
    assert_same_weights(models, whole[1])
    assert grids(tmp_path) == [f"{step:05d}.png" for step in (1, 4, 6, 9, 10)]
    assert [row["step"] for row in rows(tmp_path)] == [*"36789", "10"]


def test_a_run_is_not_lost_by_a_slip(whole, tmp_path, capsys):
    copytree(whole[0], tmp_path, dirs_exist_ok=True)
    before = results(tmp_path / "toy"), (tmp_path / "toy.h5").read_bytes()
    for match, params in (
        ("already.*--resume.*--overwrite", {}),
        ("batch_size 4, not 8", {"resume": True, "batch_size": 8}),
        ("has taken 10 steps already: give --train-steps=10", {"resume": True, "train_steps": 3}),
        ("is of None", {"resume": True, "script": "other"}),
        ("began with other images", {"resume": True, "images": TOY_IMAGES[::-1]}),
    ):
        with pytest.raises(UserError, match=match):
            toy_run(tmp_path, **params)
    with pytest.raises(Finished):
        toy_run(tmp_path, resume=True)
    assert "finished after step 10" in capsys.readouterr().out
    gan.train(toy_models(), TOY_IMAGES, toy_params(tmp_path, resume=True))
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

    toy_run(tmp_path, start_another, train_steps=1)
    assert len(refused) == 3
    toy_run(tmp_path, resume=True, train_steps=2)


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


def test_a_full_disk_costs_only_what_came_after_the_last_checkpoint(tmp_path):
    """Allows no file above a size, so that the generator doesn't fit, and then the checkpoint."""

    def train(**params):
        models = toy_models()
        models[1].ballast = tf.Variable(np.zeros(50_000, np.float32))  # in checkpoints alone
        toy_run(tmp_path, models=models, images=np.zeros_like(TOY_IMAGES), **params)

    train(train_steps=5)
    generator = (tmp_path / "toy.h5").read_bytes()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit, name in (8_000, "toy.h5"), (100_000, "ckpt-6"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
        try:
            with pytest.raises(OSError, match=name):
                train(resume=True, train_steps=6)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert ((tmp_path / "toy.h5").read_bytes() == generator) == (name == "toy.h5")
        assert prefixes(tmp_path / "toy")[0].endswith("ckpt-5")
    train(resume=True, train_steps=6)
    assert not [*tmp_path.rglob(".tmp*")]


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
    arguments = toy_models(), TOY_IMAGES, toy_params(tmp_path, train_steps=1)
    thread = threading.Thread(target=gan.train, args=arguments)
    thread.start()
    thread.join()
    assert grids(tmp_path) == ["00001.png"]


def killed_child(folder):
    """Train without an end, in a process that is going to be killed."""
    resume = bool(prefixes(Path(folder, "toy")))
    toy_run(folder, save_interval=1, resume=resume, overwrite=not resume, train_steps=10**6)


def test_kills_at_random_moments(tmp_path, monkeypatch):
    """Kill a run while a checkpoint is written, and at another moment; nothing is lost by it."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # for the server of the forks
    context = multiprocessing.get_context("forkserver")  # which imports TensorFlow once
    context.set_forkserver_preload(["test_run"])
    place, steps = tmp_path / "toy", []
    for while_saving in False, True:
        old = {*place.glob("checkpoints/*")}
        child = context.Process(target=killed_child, args=[tmp_path])
        child.start()
        while child.is_alive() and not (
            {*place.glob("checkpoints/*")} - old if while_saving else prefixes(place)
        ):
            time.sleep(0.001)
        if not while_saving:
            time.sleep(random.uniform(0, 0.3))
        child.kill()
        child.join()
        assert child.exitcode == -signal.SIGKILL, "the run ended by itself"
        steps.append(int(prefixes(place)[0].rpartition("-")[2]))
    assert steps == sorted(steps)
    last = {"save_interval": 1, "train_steps": steps[-1] + 2}
    models = toy_run(tmp_path, resume=True, **last)
    assert_same_weights(models, toy_run(tmp_path / "whole", **last))
    assert results(tmp_path / "toy") == results(tmp_path / "whole" / "toy")


def test_ctrl_c_ends_a_script_after_its_step(tmp_path):
    words = ["-m", "tests.replicas", "toy", f"--output-dir={tmp_path}", "--save-interval=2"]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    command = [sys.executable, *words, "--train-steps=1000000"]
    with subprocess.Popen(command, cwd=ROOT, **pipes) as process:
        while not prefixes(tmp_path / "toy"):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=600)
    assert process.returncode == 130
    finishing, said = error.strip().splitlines()
    assert finishing == "finishing this step; Ctrl-C again stops at once"
    assert re.search(r"stopped after step \d+, all of it saved.*toy-mnist.py .*--resume", said)
