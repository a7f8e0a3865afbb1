import os
import signal
import sys
from pathlib import Path

import pytest

os.environ["MPLBACKEND"] = "agg"
os.environ["OPENBLAS_NUM_THREADS"] = "1"  # NumPy's others would spin, and hold up other tests
# a shell's `&` and `nohup` have all that they start ignore what tests send
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
sys.path.insert(0, str(Path(__file__).parents[1]))

from lib import data, gan
from lib.generator import Generator
from lib.plumbing.tf import keras

import helpers


def pytest_collection_modifyitems(items):
    """Have what takes longest begin first, so that no process is left alone with it."""
    items.sort(key=lambda item: "test_fidelity.py" not in item.nodeid)


@pytest.fixture(scope="session")
def mnist():
    return data.load()


@pytest.fixture(scope="session")
def some_mnist(mnist):
    """Return the first thousand of its images, as TensorFlow keeps each training's data."""
    return mnist._replace(x_train=mnist.x_train[:1000].copy(), y_train=mnist.y_train[:1000])


@pytest.fixture(scope="session")
def plain(tmp_path_factory):
    """Return the file of a small generator."""
    path = tmp_path_factory.mktemp("generator") / "plain.h5"
    Generator(gan.generator(keras.Input((100,)), 8)).save(path)
    return path


@pytest.fixture
def without_tensorflow(tmp_path, monkeypatch):
    """Have programs interrupt themselves when they import TensorFlow."""
    (tmp_path / "tensorflow.py").write_text(
        "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(9)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


@pytest.fixture
def refusal(tmp_path, monkeypatch, capfd):
    """Return a function that runs a script, expects a refusal, and returns its line."""
    monkeypatch.chdir(tmp_path)

    def run(name, *arguments):
        before = sorted(tmp_path.rglob("*"))
        assert helpers.main(name, arguments, monkeypatch) == 2
        error = capfd.readouterr().err
        assert error.count("\n") == 1
        assert error.startswith(f"{name}-mnist.py: ")
        assert error.rstrip("\n").isprintable()
        assert sorted(tmp_path.rglob("*")) == before
        return error

    return run
