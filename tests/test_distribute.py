"""Training on several replicas: in one process, and in two that form a cluster."""

import csv
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from argparse import Namespace

from lib.plumbing.errors import UserError
from lib.training import distribute
from lib.training.checkpoints import found

import pytest
import tensorflow as tf
from helpers import ROOT, archive, local_cluster, npy
from replicas import toy

REPLICAS = [sys.executable, "-m", "tests.replicas"]
FLAGS = ["--save-interval=2", "--log-interval=2", "--seed=3"]


def replicas(*words):
    """Return what a function of tests/replicas.py answers."""
    command = [*REPLICAS, *map(str, words)]
    done = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def start_workers():
    """Return what starts a function of tests/replicas.py as two workers of a cluster."""
    started = []

    def start(*words, folders, flags=((), ())):
        workers = [
            subprocess.Popen(
                [*REPLICAS, *words, f"--output-dir={folder}", *own],
                cwd=ROOT,
                env=os.environ | {"TF_CONFIG": config},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for config, folder, own in zip(local_cluster(2), folders, flags, strict=True)
        ]
        started.extend(workers)
        return workers

    yield start
    for worker in started:
        worker.kill()
        worker.communicate()


@pytest.fixture(scope="module")
def compared():
    return replicas("compared")


def test_halves_of_a_batch_move_the_weights_as_the_whole(compared):
    for gan in compared["halves"]:
        assert max(gan["gaps"]) < 1e-3  # of the weights, and of RMSprop's averages
        one, two = gan["losses"]
        assert one == pytest.approx(two, rel=1e-5)


def test_batch_normalization_sees_its_replica_s_half(compared):
    distances = compared["averages"]
    assert distances["between replicas"] == 0
    assert distances["to the mean of the halves"] < 1e-6
    assert distances["to the whole"] > 1e-4


def test_every_replica_draws_its_own_share(start_workers, tmp_path):
    drawn = replicas("draws", "--distribute=cpu:2", "--seed=3")
    (images, noise), (others, other_noise) = drawn
    assert len(images) == len(others) == len(noise) == 4  # of 8
    assert noise != other_noise
    assert images != others

    workers = start_workers("draws", "--seed=3", folders=[tmp_path] * 2)
    answers = [worker.communicate()[0].splitlines()[-1] for worker in workers]
    assert [replica for answer in answers for replica in json.loads(answer)] == drawn


def test_scripts_train_on_devices_of_one_machine(tmp_path):
    assert replicas("scripts", tmp_path, "wgan", "acgan", "wgan-gp") == [0, 0, 0]
    for name in "wgan_own", "acgan_own", "wgan_gp_own":
        facts = json.loads((tmp_path / name / "run.json").read_text())
        assert len(facts["machine"]["devices"]) == 2
        assert facts["ended"]


WORKER = {"cluster": {"worker": ["localhost:1"]}, "task": {"type": "worker", "index": 0}}


@pytest.mark.parametrize(
    "config",
    [
        "",
        "localhost:2222",
        "{}",
        json.dumps(WORKER | {"task": {"type": "worker", "index": 1}}),
        json.dumps(WORKER | {"cluster": {"ps": ["localhost:1"]}}),
    ],
)
def test_a_bad_tf_config_is_refused(config):
    with pytest.raises(UserError, match="^TF_CONFIG must name a cluster"):
        distribute.cluster(config)


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--distribute=cpu:0"], "'cpu:0' is not gpu or cpu:N"),
        (["--distribute=cpu:2"], "needs a fresh Python"),
        (["--distribute=cpu:2", "--generator=lsgan_mnist.h5"], "--distribute goes with training"),
    ],
)
def test_what_cannot_be_distributed_is_one_line(flags, message, refusal):
    tf.config.list_logical_devices()  # from here on their number is settled
    assert message in refusal("lsgan", *flags)


def test_a_batch_that_cannot_be_split_is_one_line(tmp_path):
    done = fail("--distribute=cpu:3", f"--output-dir={tmp_path}")
    assert "--batch-size=8 can't be split evenly over 3 replicas" in done


def fail(*flags, **env):
    """Return the one line of a toy script that ends with status 2."""
    command, env = [*REPLICAS, "toy", *flags], os.environ | env
    done = subprocess.run(command, check=False, cwd=ROOT, env=env, capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    return done.stderr


def test_a_port_in_use_is_one_line(tmp_path):
    with socket.create_server(("", 0)) as server:
        place = f"localhost:{server.getsockname()[1]}"
        config = json.dumps(WORKER | {"cluster": {"worker": [place]}})
        error = fail(f"--output-dir={tmp_path}", TF_CONFIG=config)
    assert f"can't join TF_CONFIG's cluster as {place}" in error


def test_a_worker_that_waits_can_be_stopped(tmp_path):
    env = os.environ | {"TF_CONFIG": local_cluster(2)[1]}
    command = [*REPLICAS, "toy", f"--output-dir={tmp_path}"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, env=env, **pipes) as worker:
        assert "waits for" in worker.stdout.readline()
        worker.send_signal(signal.SIGINT)
        _, error = worker.communicate()
    assert worker.returncode in (-signal.SIGINT, 130)  # before TensorFlow's own wait, or in it
    assert error == ""


def test_workers_with_other_data_are_refused(tmp_path, monkeypatch):
    archive(tmp_path / "own.npz")
    archive(tmp_path / "copy.npz")
    archive(tmp_path / "other.npz", npy((6, 4, 4), body=bytes([1] * 96)))

    def check(name):
        params = Namespace(shared=[], data=str(tmp_path / name), resume=False)
        distribute.check_agreement(params)

    known = []
    monkeypatch.setattr(distribute, "mean_of_workers", lambda own: known.append(own) or own)
    check("own.npz")
    monkeypatch.setattr(distribute, "mean_of_workers", lambda own: (known[0] + own) / 2)
    check("copy.npz")
    with pytest.raises(UserError, match="the workers differ in script, flags, data"):
        check("other.npz")


@pytest.mark.slow
def test_workers_started_differently_are_refused(start_workers, tmp_path):
    for worker in start_workers("toy", folders=[tmp_path] * 2, flags=[[], ["--latent-size=2"]]):
        _, error = worker.communicate()
        assert worker.returncode == 2
        assert error.startswith("toy-mnist.py: the workers differ in script, flags, data,")


@pytest.mark.slow
def test_a_cluster_goes_on_after_a_kill_and_a_signal(start_workers, tmp_path, monkeypatch, capsys):
    place, other = tmp_path / "toy", tmp_path / "other"

    def start(*flags, folders=(tmp_path, tmp_path)):
        return start_workers("toy", *flags, folders=folders)

    def wait_for_checkpoint(workers, step):
        while not (prefixes := found(place)) or step_of(prefixes[0]) < step:
            assert all(worker.poll() is None for worker in workers)
            time.sleep(0.01)

    def step_of(prefix):
        return int(prefix.rpartition("-")[2])

    workers = start(*FLAGS, "--train-steps=1000000", folders=(tmp_path, other))
    wait_for_checkpoint(workers, 4)
    workers[1].kill()
    _, error = workers[0].communicate()
    assert workers[0].returncode == 2
    assert error.startswith("toy-mnist.py: another worker is gone")
    assert error.count("\n") == 1
    assert not other.exists()  # the first alone writes

    # a signal to any of them stops all after the same step
    newest = step_of(found(place)[0])
    workers = start("--resume")
    wait_for_checkpoint(workers, newest + 2)
    workers[1].terminate()
    said = [worker.communicate()[1].splitlines()[-1] for worker in workers]
    assert [worker.returncode for worker in workers] == [143, 143]
    assert said[0] == said[1]
    (step,) = re.findall(r"stopped after step (\d+), all of it saved.*go on with: ", said[0])

    end = f"--train-steps={int(step) + 2}"
    ended = []
    for worker in start("--resume", end):
        out, error = worker.communicate()
        assert (worker.returncode, error) == (0, "")
        ended.append(out.splitlines()[-1])

    # two replicas in one process, never stopped, end with the same bits
    once = f"--output-dir={other}"
    command = [*REPLICAS, "toy", *FLAGS, end, once, "--distribute=cpu:2"]
    done = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True)
    assert ended == [done.stdout.splitlines()[-1]] * 2
    for name in "history.csv", "00004.png":
        assert (place / name).read_bytes() == (other / "toy" / name).read_bytes()

    # and another number of replicas goes on
    monkeypatch.setattr(sys, "argv", [])
    toy("--resume", f"--train-steps={int(step) + 4}", f"--output-dir={tmp_path}")
    assert f"resumed after step {int(step) + 2} of" in capsys.readouterr().out
    with open(place / "history.csv", newline="") as file:
        steps = [int(row["step"]) for row in csv.DictReader(file)]
    assert steps[:3] == [2, 4, 6]
    assert steps[-1] == int(step) + 4
