"""Training on several replicas: in one process, and in two that form a cluster."""

import csv
import json
import os
import socket
import subprocess
import sys
import time
from argparse import Namespace

from lib import distribute

import numpy as np
import pytest
from helpers import ROOT, archive, local_cluster, npy, run_script
from lib.errors import UserError

FLAGS = ["--batch-size=8", "--save-interval=2", "--log-interval=2"]


def replicas(*words):
    """What a function of tests/replicas.py answers."""
    command = [sys.executable, "-m", "tests.replicas", *words]
    done = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def start_workers():
    """Starts a command as the two workers of a cluster, on ports that are free."""
    started = []

    def start(*command, folders, flags=((), ())):
        clusters = local_cluster(len(folders))
        workers = [
            subprocess.Popen(
                [sys.executable, *command, f"--output-dir={folder}", *own],
                cwd=ROOT,
                env=os.environ | {"TF_CONFIG": config},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for config, folder, own in zip(clusters, folders, flags, strict=True)
        ]
        started.extend(workers)
        return workers

    yield start
    for worker in started:
        worker.kill()
        worker.communicate()


def one_line(done):
    """What a user is told who asked for what can't be done."""
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    return line


def files(folder):
    return sorted(path.name for path in folder.rglob("*") if path.name != ".lock")


def test_halves_of_a_batch_move_the_weights_as_the_whole():
    for found in replicas("halves", "lsgan", "wgan"):
        assert max(found["gaps"]) < 1e-3  # of the weights, and of RMSprop's averages
        one, two = found["losses"]
        assert one == pytest.approx(two, rel=1e-5)


def test_batch_normalization_sees_its_replica_s_half():
    found = replicas("averages")
    assert found["between replicas"] == 0
    assert found["to the mean of the halves"] < 1e-6
    assert found["to the whole"] > 1e-4


def test_every_replica_draws_its_own_share(start_workers, tmp_path):
    drawn = replicas("draws", "--distribute=cpu:2", "--seed=3")
    (some, *first), (others, *second) = drawn
    assert some == others == 4  # of 8
    assert not set(first) & set(second)

    workers = start_workers("-m", "tests.replicas", "draws", "--seed=3", folders=[tmp_path] * 2)
    answers = [worker.communicate(timeout=120)[0].splitlines()[-1] for worker in workers]
    assert [replica for answer in answers for replica in json.loads(answer)] == drawn


@pytest.mark.parametrize("name", ["cgan", "acgan"])  # wgan and lsgan are below
def test_devices_of_one_machine(name, tmp_path):
    done = run_script(name, *FLAGS, "--train-steps=2", "--distribute=cpu:2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    facts = json.loads((tmp_path / f"{name}_mnist" / "run.json").read_text())
    assert len(facts["machine"]["devices"]) == 2


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--distribute=cpu:3"], "--batch-size=64 can't be split evenly over 3 replicas"),
        (["--distribute=cpu:0"], "'cpu:0' is neither gpu nor cpu:N"),
        (["--distribute=cpu:2", "--generator=lsgan_mnist.h5"], "--distribute goes with training"),
    ],
)
def test_what_cannot_be_distributed_is_one_line(flags, message, tmp_path):
    assert message in one_line(run_script("lsgan", *flags, cwd=tmp_path))
    assert list(tmp_path.iterdir()) == []


WORKER = {"cluster": {"worker": ["localhost:1"]}, "task": {"type": "worker", "index": 0}}


@pytest.mark.parametrize(
    "config",
    [
        "",
        "localhost:2222",
        "{}",
        json.dumps(WORKER | {"task": {"type": "worker", "index": 1}}),
        json.dumps(WORKER | {"task": {"type": "worker", "index": -1}}),
        json.dumps(WORKER | {"cluster": {"worker": ["localhost"]}}),
        json.dumps(WORKER | {"cluster": {"worker": ["localhost:65536"]}}),
        json.dumps(WORKER | {"cluster": {"worker": "localhost:1"}}),
        json.dumps({"cluster": {"ps": ["localhost:1"]}, "task": {"type": "ps", "index": 0}}),
    ],
)
def test_a_bad_tf_config_is_refused(config):
    with pytest.raises(UserError, match="^TF_CONFIG must name a cluster"):
        distribute.cluster(config)


def test_a_port_in_use_is_one_line(tmp_path):
    with socket.create_server(("", 0)) as server:
        place = f"localhost:{server.getsockname()[1]}"
        env = os.environ | {"TF_CONFIG": json.dumps(WORKER | {"cluster": {"worker": [place]}})}
        done = run_script("lsgan", "--train-steps=2", cwd=tmp_path, env=env)
    assert f"can't join TF_CONFIG's cluster as {place}" in one_line(done)


def test_a_cluster_of_one_ignores_what_else_tf_config_says(tmp_path):
    (config,) = map(json.loads, local_cluster(1))
    env = os.environ | {"TF_CONFIG": json.dumps(config | {"rpc_layer": 5, "environment": [1]})}
    done = run_script("lsgan", *FLAGS, "--train-steps=2", cwd=tmp_path, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "lsgan_mnist.h5").exists()


@pytest.mark.slow
def test_workers_end_with_equal_weights_and_one_writes(start_workers, tmp_path):
    folders = [tmp_path / "chief", tmp_path / "other"]
    words = ["-m", "tests.replicas", "train", "wgan", *FLAGS, "--n-critic=2", "--train-steps=3"]
    workers = start_workers(*words, folders=folders)
    answers = []
    for worker in workers:
        out, err = worker.communicate(timeout=120)
        assert (worker.returncode, err) == (0, "")
        answers.append(json.loads(out.splitlines()[-1]))
    assert answers[0] == answers[1]
    assert answers[0]["largest"] <= np.float32(0.01)
    assert {"wgan_mnist.h5", "00002.png", "history.csv", "run.json"} <= set(files(folders[0]))
    assert not folders[1].exists()


@pytest.mark.slow
def test_workers_started_differently_are_refused(start_workers, tmp_path):
    command = ["lsgan-mnist.py", *FLAGS, "--train-steps=2"]
    flags = [[], ["--lr=1e-3"]]
    for worker in start_workers(*command, folders=[tmp_path] * 2, flags=flags):
        _, err = worker.communicate(timeout=120)
        assert worker.returncode == 2
        assert err.startswith("lsgan-mnist.py: the workers differ in script, flags, data,")


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
    with pytest.raises(UserError, match="there is no file"):
        check("missing.npz")


@pytest.mark.slow
def test_a_cluster_goes_on_after_a_kill_and_a_signal(start_workers, tmp_path):
    flags = [*FLAGS, "--save-interval=4", "--train-steps=16", "--seed=3"]
    command = ["lsgan-mnist.py", *flags]
    place, folders = tmp_path / "lsgan_mnist", [tmp_path] * 2

    def wait_for(picture):
        deadline = time.monotonic() + 120
        while not (place / picture).exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)

    workers = start_workers(*command, folders=folders)
    wait_for("00004.png")
    workers[1].kill()
    _, err = workers[0].communicate(timeout=60)
    assert workers[0].returncode == 2
    assert err.startswith("lsgan-mnist.py: another worker is gone")
    assert len(err.splitlines()) == 1

    # a signal to any of them stops all after the same step
    workers = start_workers("lsgan-mnist.py", "--resume", folders=folders)
    wait_for("00008.png")
    workers[1].terminate()
    stops = [worker.communicate(timeout=60)[1] for worker in workers]
    assert stops[0] == stops[1]
    assert "all of it saved" in stops[0]
    assert "go on with: " in stops[0]
    assert [worker.returncode for worker in workers] == [143, 143]

    for worker in start_workers("lsgan-mnist.py", "--resume", folders=folders):
        _, err = worker.communicate(timeout=120)
        assert (worker.returncode, err) == (0, "")

    # two replicas in one process, never stopped, end with the same bits
    once = tmp_path / "once"
    done = run_script("lsgan", *flags, "--distribute=cpu:2", f"--output-dir={once}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for name in "history.csv", "00016.png":
        assert (place / name).read_bytes() == (once / "lsgan_mnist" / name).read_bytes()

    # and another number of replicas goes on
    done = run_script("lsgan", "--resume", "--train-steps=18", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    with open(place / "history.csv", newline="") as file:
        assert [int(row["step"]) for row in csv.DictReader(file)] == list(range(2, 19, 2))
