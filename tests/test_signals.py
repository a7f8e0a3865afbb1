"""What stops a run from outside: signals, and an output that nobody reads."""

import os
import signal
import subprocess
import sys
import time

from lib import checkpoint, signals

import pytest
from helpers import ROOT, local_cluster

IN_ONE_NATIVE_CALL = """
import hashlib
from lib import signals
with signals.deferred() as received:
    print("begun", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)  # takes minutes
"""

CALLED_BY_NATIVE_CODE = """
import ctypes, os, pathlib, sys
from lib import signals
signum, path = int(sys.argv[1]), pathlib.Path(sys.argv[2])
path.touch()
signals.at_leaving.append(path.unlink)
with signals.leaving():
    ctypes.CFUNCTYPE(None)(lambda: os.kill(os.getpid(), signum))()
"""


def start(*command, cwd=ROOT, **kwargs):
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **kwargs,
    )


@pytest.mark.parametrize("signum", signals.STOP)
def test_the_second_ctrl_c_stops_a_step_at_once(signum):
    """Nothing else does: a terminal that is closed sends SIGHUP twice."""
    with start("-c", IN_ONE_NATIVE_CALL) as process:
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signum)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.05)
        process.send_signal(signum)
        try:
            if signum == signal.SIGINT:
                assert process.wait(timeout=20) == 128 + signum
            else:
                with pytest.raises(subprocess.TimeoutExpired):
                    process.wait(timeout=0.5)
        finally:
            process.kill()


def test_what_nohup_ignores_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals.deferred() as received:
            os.kill(os.getpid(), signal.SIGHUP)
            os.kill(os.getpid(), signal.SIGTERM)
        assert received == [signal.SIGTERM]
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("signum", signals.STOP)
def test_a_signal_in_what_native_code_calls_ends_the_program(signum, tmp_path):
    """An exception, which that code may lose, change or crash of, wouldn't."""
    with start("-c", CALLED_BY_NATIVE_CODE, str(signum), tmp_path / "file") as process:
        assert process.stderr.read() == ""
    assert process.returncode == 128 + signum
    assert not list(tmp_path.iterdir())


def test_a_closed_output_stops_the_run(tmp_path):
    flags = ["--batch-size=8", "--log-interval=1"]
    with start(ROOT / "lsgan-mnist.py", *flags, cwd=tmp_path) as process:
        assert process.stdout.readline().startswith("lsgan_mnist: 60,000 images")
        process.stdout.close()
        error = process.stderr.read()
    assert process.returncode == 128 + signals.SIGPIPE
    (line,) = error.splitlines()
    assert "standard output can't be written, stopped after step" in line
    assert checkpoint.newest_whole(tmp_path / "lsgan_mnist")


@pytest.mark.parametrize("signum", signals.STOP)
def test_a_sampler_that_is_stopped_leaves_nothing(signum, plain, tmp_path):
    flags = [f"--generator={plain}", "--npz=set.npz", "--count=200000"]
    with start(ROOT / "wgan-mnist.py", *flags, cwd=tmp_path) as process:
        while not (begun := list(tmp_path.iterdir())) and process.poll() is None:
            time.sleep(0.001)
        process.send_signal(signum)
        assert process.stderr.read() == ""
    assert begun
    assert process.returncode == 128 + signum
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "signum, status", [(signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, 130)]
)
def test_a_worker_that_waits_can_be_stopped(signum, status, tmp_path):
    env = os.environ | {"TF_CONFIG": local_cluster(2)[1]}
    with start(ROOT / "lsgan-mnist.py", cwd=tmp_path, env=env) as worker:
        assert "waits for" in worker.stdout.readline()
        worker.send_signal(signum)
        try:
            assert worker.wait(timeout=20) == status
        finally:
            worker.kill()
        assert worker.stderr.read() == ""
