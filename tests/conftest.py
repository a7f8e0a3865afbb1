import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
os.environ["MPLBACKEND"] = "agg"
sys.path.insert(0, str(ROOT))

import lib  # noqa: F401  (imports TensorFlow quietly)

SCRIPTS = ("dcgan", "cgan", "wgan", "lsgan", "acgan")


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


@pytest.fixture(scope="session")
def mnist():
    from lib import data

    return data.load()
