"""Runs that are stopped, killed, repeated, and go wrong."""

import csv
import errno
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time

from lib import checkpoint, data, generator_file, record, run

import numpy as np
import pytest
import tensorflow as tf
from helpers import ROOT, events, main, run_script, train
from lib.errors import Stopped, UserError
from PIL import Image, ImageSequence

KILLED_STEPS = 20


def signal_at(step, signum):
    """Has this process signalled while it works on `step`."""

    def meddle(current, _models):
        if current == step:
            os.kill(os.getpid(), signum)

    return meddle


def results(folder, name):
    """What a run leaves that depends on nothing but seed and hyperparameters."""
    place = folder / f"{name}_mnist"
    grids = {path.name: path.read_bytes() for path in place.glob("0*.png")}
    return grids | {
        "history": (place / "history.csv").read_text(),
        "gif": (place / "training.gif").read_bytes(),
        "events": events(place),
    }


@pytest.fixture(scope="module", params=["wgan", "lsgan"])
def whole(request, tmp_path_factory, mnist):
    """An uninterrupted run: its name, folder and generator's weights."""
    folder = tmp_path_factory.mktemp("whole")
    generator, _, _ = train(request.param, folder, mnist)
    return request.param, folder, generator.get_weights()


def test_resumed_run_equals_the_uninterrupted_one(whole, tmp_path, mnist):
    name, folder, weights = whole
    for step, signum in (2, signal.SIGHUP), (4, signal.SIGTERM), (9, signal.SIGINT):
        resume = ["--resume"] * (step > 2)
        with pytest.raises(Stopped, match=f"after step {step}.*--resume") as stopped:
            train(name, tmp_path, mnist, *resume, meddle=signal_at(step, signum))
        assert stopped.value.status == 128 + signum
        assert f"{step:05d}.png" in results(tmp_path, name)
        stopped = generator_file.load(tmp_path / f"{name}_mnist.h5", conditional=False)
        assert all(np.isfinite(weight).all() for weight in stopped.get_weights())
    generator, _, _ = train(name, tmp_path, mnist, "--resume")
    for ours, theirs in zip(generator.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert results(tmp_path, name) == results(folder, name)


def test_a_run_may_grow(whole, tmp_path, mnist):
    name, folder, weights = whole
    train(name, tmp_path, mnist, steps=5)
    generator, _, _ = train(name, tmp_path, mnist, "--resume", steps=10)
    for ours, theirs in zip(generator.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert results(tmp_path, name) == results(folder, name)


def test_a_stopped_run_may_end_where_it_is(tmp_path, mnist):
    with pytest.raises(Stopped):
        train("lsgan", tmp_path, mnist, meddle=signal_at(5, signal.SIGINT))
    stopped = results(tmp_path, "lsgan")
    train("lsgan", tmp_path, mnist, "--resume", steps=5)
    assert results(tmp_path, "lsgan") == stopped
    facts = json.loads((tmp_path / "lsgan_mnist" / "run.json").read_text())
    assert facts["steps"] == facts["hyperparameters"]["train_steps"] == 5


def test_intervals_may_change_on_resume(whole, tmp_path, mnist):
    name, _, weights = whole
    train(name, tmp_path, mnist, steps=5)
    flags = ["--resume", "--save-interval=3", "--log-interval=1"]
    generator, _, _ = train(name, tmp_path, mnist, *flags, steps=10)
    for ours, theirs in zip(generator.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    grids = sorted(path.name for path in (tmp_path / f"{name}_mnist").glob("0*.png"))
    assert grids == [f"{step:05d}.png" for step in (1, 4, 6, 9, 10)]
    with open(tmp_path / f"{name}_mnist" / "history.csv", newline="") as file:
        assert [row["step"] for row in csv.DictReader(file)] == list("36789") + ["10"]


def test_history_is_complete(whole):
    name, folder, _ = whole
    place = folder / f"{name}_mnist"
    with open(place / "history.csv") as file:
        rows = list(csv.DictReader(file))
    names = ["discriminator_loss", "discriminator_accuracy"]
    names += ["adversarial_loss", "adversarial_accuracy"]
    names += ["wasserstein_estimate"] * (name == "wgan")
    assert list(rows[0]) == ["step", *names]
    assert [row["step"] for row in rows] == ["3", "6", "9", "10"]
    grids = [(step, "samples") for step in (1, 4, 8, 10)]
    assert events(place) == sorted(grids + [(s, n) for s in (3, 6, 9, 10) for n in names])
    with Image.open(place / "training.gif") as gif:
        assert gif.n_frames == 4
    with Image.open(place / "losses.png") as image:
        assert image.size == (640, 480)


def test_a_long_animation_is_thinned_from_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "MAX_FRAMES", 3)
    grids = [tmp_path / f"{step:05d}.png" for step in range(1, 9)]
    for level, grid in enumerate(grids):
        Image.new("L", (4, 4), 30 * level).save(grid)
    record.write_gif(grids, tmp_path / "training.gif")
    with Image.open(tmp_path / "training.gif") as gif:
        frames = [frame.convert("L").getpixel((0, 0)) for frame in ImageSequence.Iterator(gif)]
    assert frames == [30 * level for level in (1, 4, 7)]


def test_history_holds_means_over_the_interval(tmp_path, mnist):
    train("lsgan", tmp_path / "each", mnist, "--log-interval=1", steps=6)
    train("lsgan", tmp_path / "means", mnist, "--log-interval=3", steps=6)
    each, means = (
        np.genfromtxt(tmp_path / run_ / "lsgan_mnist" / "history.csv", delimiter=",")[1:, 1:]
        for run_ in ("each", "means")
    )
    np.testing.assert_allclose(means, each.reshape(2, 3, 4).mean(axis=1), rtol=1e-6)


def test_facts(whole):
    name, folder, _ = whole
    facts = json.loads((folder / f"{name}_mnist" / "run.json").read_text())
    assert facts["hyperparameters"]["seed"] == 5
    assert facts["hyperparameters"]["batch_size"] == 8
    assert facts["hyperparameters"]["train_steps"] == 10
    assert facts["versions"]["tensorflow"] == tf.__version__
    assert facts["hyperparameters"]["precision"] == "float32"
    assert facts["started"] <= facts["ended"]
    assert facts["steps_per_second"] > 0


def test_an_unset_seed_is_drawn_recorded_and_resumed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    flags = ["--batch-size=8", "--train-steps=2", "--log-interval=1"]
    for place in "one", "two":
        assert main("lsgan", [*flags, "--output-dir", place], monkeypatch) == 0
    seeds = [
        json.loads((tmp_path / place / "lsgan_mnist" / "run.json").read_text())["hyperparameters"]
        for place in ("one", "two")
    ]
    seeds = [hyperparameters["seed"] for hyperparameters in seeds]
    assert seeds[0] != seeds[1]
    # what is not given is as the run began
    arguments = ["--resume", "--train-steps=3", "--output-dir=one"]
    assert main("lsgan", arguments, monkeypatch) == 0
    assert "resumed after step 2" in capsys.readouterr().out
    assert main("lsgan", [*arguments, "--batch-size=16"], monkeypatch) == 2
    assert "batch_size 8, not 16" in capsys.readouterr().err


def test_a_run_is_not_lost_by_a_slip(tmp_path, mnist):
    train("lsgan", tmp_path, mnist, steps=4)
    before = results(tmp_path, "lsgan")
    with pytest.raises(UserError, match="--resume.*--overwrite"):
        train("lsgan", tmp_path, mnist)
    with pytest.raises(UserError, match="lr 0.0002, not 0.1"):
        train("lsgan", tmp_path, mnist, "--resume", "--lr=0.1")
    with pytest.raises(UserError, match="has taken 4 steps already: give --train-steps=4"):
        train("lsgan", tmp_path, mnist, "--resume", steps=3)
    assert results(tmp_path, "lsgan") == before
    own = [tmp_path / "lsgan_mnist" / name for name in ("notes.txt", "1st-good.png")]
    for path in own:
        path.write_text("the user's own")
    train("lsgan", tmp_path, mnist, "--overwrite", "--seed=6", steps=3)
    assert all(path.exists() for path in own)
    assert not (tmp_path / "lsgan_mnist" / "00004.png").exists()
    shutil.rmtree(tmp_path / "lsgan_mnist")
    with pytest.raises(UserError, match="--overwrite"):  # the generator is left
        train("lsgan", tmp_path, mnist)


def test_two_processes_on_one_run(tmp_path, mnist):
    refused = []

    def start_another(step, _models):
        if step == 2:
            refused.append(run_script("lsgan", "--resume", cwd=tmp_path))

    train("lsgan", tmp_path, mnist, steps=2, meddle=start_another)
    assert refused[0].returncode == 2
    assert "another process trains in lsgan_mnist" in refused[0].stderr


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP])
def test_a_file_system_without_locks(number, tmp_path, mnist, monkeypatch):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", refuse)
    train("lsgan", tmp_path, mnist, steps=1)
    assert (tmp_path / "lsgan_mnist.h5").exists()


def test_divergence_stops_the_run(tmp_path, mnist):
    with pytest.raises(UserError, match=r"_loss at step \d is not finite") as error:
        train("lsgan", tmp_path, mnist, "--lr=1e30", "--save-interval=1", steps=50)
    assert not (tmp_path / "lsgan_mnist.h5").exists()
    assert "nothing was saved yet" in str(error.value)


def spoil(step, models):
    if step == 6:
        weight = models[0].weights[0]
        weight.assign(weight * np.nan)


def test_rows_that_come_fast_are_written_together(tmp_path, monkeypatch):
    table = record.Record(tmp_path, [], 0)
    written = []
    for row, now in enumerate((0, 6, 8, 12, 18), 1):
        monkeypatch.setattr(time, "monotonic", lambda now=now: now)
        table.add_row({"step": row, "loss": 0.5})
        written.append(len((tmp_path / "history.csv").read_text().splitlines()) - 1)
        table.draw()
    assert written == [1, 2, 2, 4, 5]


def test_history_shows_how_a_run_diverged(tmp_path, mnist):
    with pytest.raises(UserError, match="after step 8 is not finite"):
        train("lsgan", tmp_path, mnist, "--log-interval=1", steps=9, meddle=spoil)
    rows = (tmp_path / "lsgan_mnist" / "history.csv").read_text().splitlines()
    assert [row.partition(",")[0] for row in rows[1:]] == list("1234567")


def test_a_non_finite_weight_is_never_saved(tmp_path, mnist):
    with pytest.raises(UserError, match="weight of the generator after step 6.*ckpt-5"):
        train("lsgan", tmp_path, mnist, "--save-interval=1", steps=7, meddle=spoil)
    saved = generator_file.load(tmp_path / "lsgan_mnist.h5", conditional=False)
    assert all(np.isfinite(weight).all() for weight in saved.get_weights())
    assert not (tmp_path / "lsgan_mnist" / "00006.png").exists()


def test_a_full_disk_ends_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    flags = ["--batch-size=8", "--save-interval=2", "--log-interval=2"]
    assert main("lsgan", [*flags, "--train-steps=4"], monkeypatch) == 0
    generator = (tmp_path / "lsgan_mnist.h5").read_bytes()
    newest = checkpoint.newest_whole(tmp_path / "lsgan_mnist")

    def small_disk():  # too small for files above 1 MB: the generator and the checkpoint
        resource.setrlimit(resource.RLIMIT_FSIZE, (10**6, 10**6))

    grow = ["--resume", "--train-steps=8"]
    full = run_script("lsgan", *grow, cwd=tmp_path, preexec_fn=small_disk)
    assert full.returncode == 2
    assert full.stderr.count("\n") == 1
    assert "lsgan_mnist.h5: File too large" in full.stderr
    assert (tmp_path / "lsgan_mnist.h5").read_bytes() == generator
    assert checkpoint.newest_whole(tmp_path / "lsgan_mnist") == newest
    assert main("lsgan", grow, monkeypatch) == 0
    assert "resumed after step 4" in capsys.readouterr().out


def test_a_folder_that_is_gone(tmp_path, mnist):
    def remove_folder(*_):
        shutil.rmtree(tmp_path / "lsgan_mnist", ignore_errors=True)

    with pytest.raises(FileNotFoundError, match="history"):
        train("lsgan", tmp_path, mnist, meddle=remove_folder)


def test_a_checkpoint_is_due_every_few_minutes(tmp_path, mnist, monkeypatch):
    monkeypatch.setattr(run, "CHECKPOINT_SECONDS", 0)
    train("lsgan", tmp_path, mnist, "--save-interval=100", steps=3)
    names = sorted(path.stem for path in (tmp_path / "lsgan_mnist").glob("checkpoints/*.index"))
    assert names == ["ckpt-2", "ckpt-3"]


def test_ctrl_c_ends_in_one_line(tmp_path):
    command = [sys.executable, ROOT / "lsgan-mnist.py", "--batch-size=8", "--log-interval=1"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        while not (tmp_path / "lsgan_mnist" / "history.csv").exists():
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate()
    assert process.returncode == 130
    assert error.count("\n") == 1
    assert "--resume" in error


def killed_child(folder, resume):
    """Train in a process that may be killed at any moment."""
    os.chdir(folder)
    flags = ["--save-interval=1", "--resume" if resume else "--overwrite"]
    train("lsgan", ".", first_images(data.load()), *flags, steps=KILLED_STEPS)


def first_images(dataset):
    return data.Dataset(*(array[:512] for array in dataset))


@pytest.mark.slow
def test_kills_at_random_moments(tmp_path, mnist):
    """8 kills, half of them while a checkpoint is written; then the result is the same."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["test_run"])
    chance = random.Random(0)
    place = tmp_path / "lsgan_mnist"
    steps = []
    for kill in range(8):
        old = set(place.glob("checkpoints/*"))
        resume = checkpoint.newest_whole(place) is not None
        child = context.Process(target=killed_child, args=(tmp_path, resume))
        child.start()
        deadline = time.monotonic() + 120
        while child.is_alive() and set(place.glob("checkpoints/*")) <= old:
            assert time.monotonic() < deadline
            time.sleep(0.0005)
        if kill % 2:
            time.sleep(chance.uniform(0, 0.2))
        assert child.exitcode is None, "a run ended by itself"
        child.kill()
        child.join()
        newest = checkpoint.newest_whole(place) or "none-0"
        steps.append(int(newest.split("-")[-1]))
    assert steps == sorted(steps)
    generator, _, _ = train(
        "lsgan", tmp_path, first_images(mnist), "--save-interval=1", "--resume", steps=KILLED_STEPS
    )
    (tmp_path / "whole").mkdir()
    uninterrupted, _, _ = train(
        "lsgan", tmp_path / "whole", first_images(mnist), "--save-interval=1", steps=KILLED_STEPS
    )
    for ours, theirs in zip(generator.get_weights(), uninterrupted.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert results(tmp_path, "lsgan") == results(tmp_path / "whole", "lsgan")


def test_a_run_whose_last_save_fails_has_not_ended(mnist, tmp_path):
    generator = tmp_path / "lsgan_mnist.h5"

    def obstruct(step, _models):
        if step == 10:
            generator.unlink()
            generator.mkdir()

    with pytest.raises(OSError, match="lsgan_mnist.h5"):
        train("lsgan", tmp_path, mnist, meddle=obstruct)
    assert "ended" not in json.loads((tmp_path / "lsgan_mnist/run.json").read_text())
