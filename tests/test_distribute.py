"""Training on several replicas: in one process, and in two that form a cluster."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

from lib.training import distribute
from lib.training.checkpoints import prefixes

import pytest
from helpers import ROOT, archive, local_cluster, npy

REPLICAS = [sys.executable, "-m", "tests.replicas"]
FLAGS = ["--save-interval=2", "--log-interval=2", "--seed=3"]


@pytest.fixture(scope="module")
def on_two(tmp_path_factory):
    """Return the folder and what tests/replicas.py prints of two replicas."""
    folder = tmp_path_factory.mktemp("on_two")
    command = [*REPLICAS, "on_two", folder]
    done = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True)
    return folder, json.loads(done.stdout.splitlines()[-1])


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


def test_halves_of_a_batch_move_the_weights_as_the_whole(on_two):
    assert max(on_two[1]["halves"]["gaps"]) < 1e-3  # of the weights, and of RMSprop's averages
    one, two = on_two[1]["halves"]["losses"]
    assert one == pytest.approx(two, rel=1e-5)


def test_batch_normalization_sees_its_replica_s_half(on_two):
    distances = on_two[1]["averages"]
    assert distances["between replicas"] == 0
    assert distances["to the mean of the halves"] < 1e-6
    assert distances["to the whole"] > 1e-4


def test_every_replica_draws_its_own_share(on_two):
    (images, noise), (other_images, other_noise) = on_two[1]["draws"]
    assert len(images) == len(other_images) == len(noise) == 4  # of 8
    assert images != other_images
    assert noise != other_noise


def test_a_batch_that_cannot_be_split_is_refused(on_two):
    assert "--batch-size=7 can't be split evenly over 2 replicas" in on_two[1]["uneven"]


def test_scripts_train_on_devices_of_one_machine(on_two):
    folder, results = on_two
    assert results["scripts"] == [0, 0]
    for name in "wgan_gp_own", "infogan_own":
        metadata = json.loads((folder / name / "run.json").read_text())
        assert len(metadata["machine"]["devices"]) == 2
        assert metadata["ended"]


@pytest.mark.parametrize("config", ["", "{}", '{"cluster": {}, "task": {}}'])
def test_a_tf_config_without_a_cluster_means_one_machine(config, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", config)
    assert distribute.strategy(None).cluster_resolver is None


def test_a_port_in_use_is_one_line():
    with socket.create_server(("", 0)) as server:
        place = f"localhost:{server.getsockname()[1]}"
        worker = {"cluster": {"worker": [place]}, "task": {"type": "worker", "index": 0}}
        command, env = [*REPLICAS, "toy"], os.environ | {"TF_CONFIG": json.dumps(worker)}
        done = subprocess.run(
            command, check=False, cwd=ROOT, env=env, capture_output=True, text=True
        )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert f"can't join TF_CONFIG's cluster as {place}" in done.stderr


def test_a_worker_that_waits_can_be_stopped(tmp_path):
    env = os.environ | {"TF_CONFIG": local_cluster(2)[1]}
    command = [*REPLICAS, "toy", f"--output-dir={tmp_path}"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, env=env, **pipes) as worker:
        assert "waits for" in worker.stdout.readline()
        worker.send_signal(signal.SIGINT)
        _, error = worker.communicate(timeout=600)
    assert (worker.returncode, error) == (130, "")


@pytest.fixture
def same_data(tmp_path):
    """Return flags for two workers that have the same data under two names, as copies."""
    archive(tmp_path / "own.npz")
    archive(tmp_path / "copy.npz")
    return [[f"--data={tmp_path}/{name}.npz", "--model-name=toy"] for name in ("own", "copy")]


@pytest.mark.slow
def test_workers_started_differently_are_refused(start_workers, same_data, tmp_path):
    archive(tmp_path / "copy.npz", npy((6, 4, 4), body=bytes([1] * 96)))
    for worker in start_workers("toy", folders=[tmp_path] * 2, flags=same_data):
        _, error = worker.communicate(timeout=600)
        assert worker.returncode == 2
        assert error.startswith("toy-mnist.py: the workers differ in script, flags, data,")


@pytest.mark.slow
def test_a_cluster_goes_on_after_a_kill_and_a_signal(start_workers, same_data, tmp_path):
    place, other = tmp_path / "toy", tmp_path / "other"

    def start(*flags, folders=(tmp_path, tmp_path)):
        return start_workers("toy", *flags, folders=folders, flags=same_data)

    def wait_for_checkpoint(workers, step):
        while not (saved := prefixes(place)) or step_of(saved[0]) < step:
            assert all(worker.poll() is None for worker in workers)
            time.sleep(0.01)

    def step_of(prefix):
        return int(prefix.rpartition("-")[2])

    workers = start(*FLAGS, "--train-steps=1000000", folders=(tmp_path, other))
    wait_for_checkpoint(workers, 4)
    workers[1].kill()
    _, error = workers[0].communicate(timeout=600)
    assert workers[0].returncode == 2
    assert error.startswith("toy-mnist.py: another worker is gone")
    assert error.count("\n") == 1
    assert not other.exists()  # the first alone writes

    # a signal to any of them stops all after the same step
    newest = step_of(prefixes(place)[0])
    workers = start("--resume")
    wait_for_checkpoint(workers, newest + 2)
    workers[1].terminate()
    said = [worker.communicate(timeout=600)[1].splitlines()[-1] for worker in workers]
    assert [worker.returncode for worker in workers] == [143, 143]
    assert said[0] == said[1]
    (step,) = re.findall(r"stopped after step (\d+), all of it saved.*go on with: ", said[0])

    end = f"--train-steps={int(step) + 2}"
    ended = []
    for worker in start("--resume", end):
        out, error = worker.communicate(timeout=600)
        assert (worker.returncode, error) == (0, "")
        ended.append(out.splitlines()[-1])

    # two replicas in one process, never stopped, end with the same bits
    once = f"--output-dir={other}"
    command = [*REPLICAS, "toy", *FLAGS, end, once, "--distribute=cpu:2", *same_data[0]]
    done = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True)
    assert ended == [done.stdout.splitlines()[-1]] * 2
    for name in "history.csv", "00004.png":
        assert (place / name).read_bytes() == (other / "toy" / name).read_bytes()
