"""Training on several replicas: in one process, and in two that form a cluster."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

from lib.training import distribute
from lib.training.checkpoints import prefixes

import pytest
from helpers import ROOT, archive, local_cluster, main, npy

REPLICAS = [sys.executable, "-m", "tests.replicas"]


@pytest.fixture(scope="module")
def on_two(tmp_path_factory):
    """Return the folder, what tests/replicas.py finds on two replicas, and its standard error."""
    folder = tmp_path_factory.mktemp("on_two")
    command = [*REPLICAS, "on_two", folder]
    done = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True)
    return folder, json.loads(done.stdout.splitlines()[-1]), done.stderr


def test_halves_of_a_batch_move_the_weights_as_the_whole(on_two):
    found = on_two[1]["halves"]
    assert max(found["gaps"]) < 1e-3  # of the weights, and of RMSprop's averages
    assert found["losses"][0] == pytest.approx(found["losses"][1], rel=1e-5)


def test_batch_normalization_sees_its_replica_s_half(on_two):
    distances = on_two[1]["averages"]
    assert distances["between replicas"] == 0
    assert distances["to the mean of the halves"] < 1e-6
    assert distances["to the whole"] > 1e-4


def test_every_replica_draws_its_own_share(on_two):
    for (first, second), size in zip(on_two[1]["draws"], (4 * 4, 3), strict=True):
        assert len(first) == len(second) == 2 * size  # half of a batch of 4
        assert first != second


def test_scripts_train_on_devices_of_one_machine(on_two):
    folder, found, error = on_two
    assert found["scripts"] == [0, 0, 2]
    assert "--batch-size=7 can't be split evenly over 2 replicas" in error
    for name in "wgan_gp_own", "infogan_own":
        metadata = json.loads((folder / name / "run.json").read_text())
        assert len(metadata["machine"]["devices"]) == 2
        assert metadata["ended"]


@pytest.mark.parametrize("config", ["", "{}", '{"cluster": {}, "task": {}}'])
def test_a_tf_config_without_a_cluster_means_one_machine(config, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", config)
    assert distribute.strategy(None).cluster_resolver is None


def test_a_port_in_use_is_one_line(refusal, monkeypatch):
    with socket.create_server(("", 0)) as server:
        place = f"localhost:{server.getsockname()[1]}"
        worker = {"cluster": {"worker": [place]}, "task": {"type": "worker", "index": 0}}
        monkeypatch.setenv("TF_CONFIG", json.dumps(worker))
        assert f"can't join TF_CONFIG's cluster as {place}" in refusal("wgan")


def test_a_worker_that_waits_can_be_stopped(monkeypatch, capsys):
    config = json.loads(local_cluster(2)[1])
    port = int(config["cluster"]["worker"][1].partition(":")[2])
    ended = threading.Event()

    def interrupt():
        while not ended.is_set():  # it listens while it waits
            try:
                socket.create_connection(("localhost", port)).close()
                return os.kill(os.getpid(), signal.SIGINT)
            except ConnectionRefusedError:
                time.sleep(0.01)

    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    threading.Thread(target=interrupt, daemon=True).start()
    try:
        assert main("wgan", [], monkeypatch) == 130
    finally:
        ended.set()
    out, error = capsys.readouterr()
    assert "waits for" in out
    assert error == ""


@pytest.fixture
def start_workers(tmp_path):
    """Return what starts the toy script as two workers, with the same data under two names."""
    started = []
    for name in "own", "copy":
        archive(tmp_path / f"{name}.npz")

    def start(*flags, folders=(tmp_path, tmp_path)):
        workers = [
            subprocess.Popen(
                [
                    *REPLICAS,
                    "toy",
                    f"--output-dir={folder}",
                    f"--data={tmp_path}/{name}.npz",
                    *flags,
                ],
                cwd=ROOT,
                env=os.environ | {"TF_CONFIG": config},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for config, folder, name in zip(local_cluster(2), folders, ("own", "copy"), strict=True)
        ]
        started.extend(workers)
        return workers

    yield start
    for worker in started:
        worker.kill()
        worker.communicate()


@pytest.mark.slow
def test_workers_started_differently_are_refused(start_workers, tmp_path):
    archive(tmp_path / "copy.npz", npy((6, 4, 4), body=bytes([1] * 96)))
    for worker in start_workers("--model-name=toy"):
        _, error = worker.communicate(timeout=600)
        assert worker.returncode == 2
        assert error.startswith("toy-mnist.py: the workers differ in script, flags, data,")


@pytest.mark.slow
def test_a_cluster_goes_on_after_a_kill_and_a_signal(start_workers, tmp_path):
    place, other = tmp_path / "toy", tmp_path / "other"
    flags = ["--model-name=toy", "--save-interval=2", "--log-interval=2", "--seed=3"]

    def newest():
        return max([int(prefix.rpartition("-")[2]) for prefix in prefixes(place)], default=0)

    def wait_for_checkpoint(workers, step):
        while newest() < step:
            assert all(worker.poll() is None for worker in workers)
            time.sleep(0.01)

    workers = start_workers(*flags, "--train-steps=1000000", folders=(tmp_path, other))
    wait_for_checkpoint(workers, 4)
    workers[1].kill()
    _, error = workers[0].communicate(timeout=600)
    assert workers[0].returncode == 2
    assert error.startswith("toy-mnist.py: another worker is gone")
    assert error.count("\n") == 1
    assert not other.exists()  # the first alone writes

    # a signal to any of them stops all after the same step
    saved = newest()
    workers = start_workers("--model-name=toy", "--resume")
    wait_for_checkpoint(workers, saved + 2)
    workers[1].terminate()
    first, second = (worker.communicate(timeout=600)[1].splitlines()[-1] for worker in workers)
    assert [worker.returncode for worker in workers] == [143, 143]
    assert first == second
    (step,) = re.findall(r"stopped after step (\d+), all of it saved.*go on with: ", first)

    end, outputs = f"--train-steps={int(step) + 2}", []
    for worker in start_workers("--model-name=toy", "--resume", end):
        out, error = worker.communicate(timeout=600)
        assert (worker.returncode, error) == (0, "")
        outputs.append(out)

    # two replicas in one process, never stopped, end with the same bits
    whole = [f"--output-dir={other}", "--distribute=cpu:2", f"--data={tmp_path}/own.npz"]
    command = [*REPLICAS, "toy", *flags, *whole, end]
    done = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True)
    weights = [output.splitlines()[-1] for output in (*outputs, done.stdout)]
    assert weights == [weights[0]] * 3
    for name in "history.csv", "00004.png":
        assert (place / name).read_bytes() == (other / "toy" / name).read_bytes()
