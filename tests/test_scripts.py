"""The scripts as a user runs them: they train, sample, and say what is wrong."""

import errno
import json
import logging
import os
import platform
import re
import shlex
import shutil
import signal
import subprocess
import sys
import warnings
from pathlib import Path

from lib import gan
from lib.generator import Generator
from lib.plumbing.errors import Finished, Stopped, UserError
from lib.program import main as program

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import tensorflow as tf
from helpers import ALL_SCRIPTS, FEW_STEPS, ROOT, TOY_IMAGES, main, run_script, saved, script
from tensorflow import keras
from tensorflow.python.framework.test_util import IsMklEnabled


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Go to a folder that holds `own images.npz`: 64 images of 4 x 4 in three classes."""
    monkeypatch.chdir(tmp_path)
    np.savez("own images.npz", x_train=TOY_IMAGES, y_train=np.arange(64) % 3 + 7)
    return "--data=own images.npz"


def test_train_then_sample(tmp_path, monkeypatch, capsys):
    trained = run_script("wgan", *FEW_STEPS, "--n-critic=1", cwd=tmp_path)
    assert (trained.returncode, trained.stderr) == (0, "")
    header, *lines = trained.stdout.splitlines()
    assert header.startswith("wgan_mnist: 60,000 images of MNIST, 28 x 28 in grey")
    assert "; CPU, float32, seed " in header
    assert [line[:4] for line in lines if "w_estimate:" in line] == ["2/4 ", "4/4 "]
    pictures = sorted(path.name for path in tmp_path.glob("wgan_mnist/0*.png"))
    assert pictures == ["00001.png", "00002.png", "00004.png"]

    *_, wrote, command = lines
    assert wrote == "wrote wgan_mnist.h5 and wgan_mnist/; sample with:"
    _, said, *flags = shlex.split(command)
    assert said == str(ROOT / "wgan-mnist.py")
    monkeypatch.chdir(tmp_path)
    assert main("wgan", flags, monkeypatch) == 0
    sampled, error = capsys.readouterr()
    assert error == ""
    path = saved(sampled)
    assert re.fullmatch(r"test_outputs/wgan_mnist_seed\d+.png", str(path))
    places = plt.imread(tmp_path / path)[4:, 4:, 0].reshape(4, 60, 4, 60).swapaxes(1, 2)
    assert (places != places[0, 0]).any()  # 16 different images


def test_a_class_that_the_terminal_can_t_write(tmp_path):
    """Shows an escape instead of ending."""
    model = gan.generator(keras.Input((6,)), 4, labels=keras.Input((2,)))
    Generator(model, ["Ünï", "日本"], "own.npz").save(tmp_path / "own.h5")
    env = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = run_script("acgan", "--generator=own.h5", "--seed=1", cwd=tmp_path, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\u65e5\\u672c" in done.stdout


def test_own_data(own, monkeypatch, capsys):
    """Train on data with labels 7, 8, 9, go on without saying how, draw by label."""
    few = ["--latent-size=7", "--train-steps=2", "--batch-size=8"]
    assert main("acgan", [own, *few], monkeypatch) == 0
    output = capsys.readouterr().out
    assert "7 8 9 7\n8 9 7 8\n" in output
    assert "acgan-mnist.py --model-name=acgan_own_images --resume" in output
    before = Path("acgan_own_images.h5").read_bytes()

    resume = ["--model-name=acgan_own_images", "--resume", "--train-steps=3"]
    for name, flags, message in (
        ("acgan", ["--batch-size=16"], "batch_size 8, not 16"),
        ("cgan", [], "the run in acgan_own_images is of acgan_mnist"),
    ):
        assert main(name, [*resume, *flags], monkeypatch) == 2
        assert message in capsys.readouterr().err
        assert Path("acgan_own_images.h5").read_bytes() == before
    assert main("acgan", resume, monkeypatch) == 0
    assert "resumed after step 2" in capsys.readouterr().out
    facts = json.loads(Path("acgan_own_images/run.json").read_text())
    assert isinstance(facts["parameters"]["seed"], int)  # none was given
    assert facts["parameters"]["latent_size"] == 7

    generator = "--generator=acgan_own_images.h5"
    assert main("acgan", [generator, "--digit=8"], monkeypatch) == 0
    output = capsys.readouterr().out
    assert "8 8 8 8\n" in output
    assert saved(output).name.startswith("acgan_own_images_class8_seed")
    assert plt.imread(saved(output)).shape[:2] == (2 * (4 * 6 + 2),) * 2
    assert main("acgan", [generator, "--digit=3"], monkeypatch) == 2


def settings():
    """Return what of a session a guest has no business to change."""
    loggers = {**logging.root.manager.loggerDict, "root": logging.root}
    config = keras.config
    return {
        "streams": (sys.stdin, sys.stdout, sys.stderr),
        "signals": [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)],
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "matplotlib": dict(matplotlib.rcParams),
        "keras": (config.floatx(), config.epsilon(), config.image_data_format()),
        "policy": config.dtype_policy().name,
        "levels": {n: log.level for n, log in loggers.items() if hasattr(log, "level")},
        "warnings": list(warnings.filters),
        "graphs": tf.config.optimizer.get_experimental_options().get("dependency_optimization"),
    }


def test_a_script_leaves_a_session_as_it_was(own, monkeypatch, capsys):
    """Run scripts, as %run in a notebook does, under settings that aren't theirs."""
    few = [own, "--batch-size=4", "--train-steps=2"]
    own_settings = [
        (keras.config.set_epsilon, 1e-5, 1e-7),
        (keras.config.set_image_data_format, "channels_first", "channels_last"),
        (keras.config.set_dtype_policy, "float64", "float32"),
    ]
    uses = [
        ("wgan-gp", few, 0),
        ("wgan-gp", ["--generator=wgan_gp_own_images.h5"], 0),
        ("wgan-gp", few, 2),
        ("lsgan", ["--lr=x"], 2),
        ("lsgan", ["--generator=missing.h5"], 2),
    ]
    found = []
    with matplotlib.rc_context({"image.cmap": "hot", "image.origin": "lower"}):
        for change, value, _ in own_settings:
            change(value)
        try:
            for name, flags, status in uses:
                main(name, ["--help"], monkeypatch)  # loads what is loaded lazily
                before = settings()
                assert main(name, flags, monkeypatch) == status, capsys.readouterr().err
                found.append((name, flags, before, settings()))
        finally:
            for change, _, value in own_settings:
                change(value)
    for name, flags, before, after in found:
        for what in before:
            assert after[what] == before[what], (name, flags, what)


def test_settings_of_other_projects_change_nothing(plain, tmp_path, monkeypatch):
    """Draw the same picture whatever Keras, matplotlib, and a folder that isn't there say."""
    monkeypatch.chdir(tmp_path)
    sample = ["--seed=1", f"--generator={plain}"]
    assert main("wgan", sample, monkeypatch) == 0
    (picture,) = tmp_path.glob("test_outputs/*.png")
    before = picture.read_bytes()
    picture.unlink()
    of_keras = {"floatx": "float16", "image_data_format": "channels_first"}
    (tmp_path / "keras.json").write_text(json.dumps(of_keras))
    (tmp_path / "matplotlibrc").write_text("image.origin: lower\nsavefig.format: pdf\n")
    env = os.environ | {
        "KERAS_HOME": str(tmp_path),
        "KERAS_BACKEND": "torch",
        "TF_USE_LEGACY_KERAS": "1",
        "MPLBACKEND": "module://missing",
        "HOME": "/proc/nowhere",
    }
    done = run_script("wgan", *sample, cwd=tmp_path, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    assert "not shown" in done.stdout
    assert picture.read_bytes() == before


@pytest.mark.skipif("TF_ENABLE_ONEDNN_OPTS" in os.environ, reason="somebody chose")
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="tried on x86 alone")
def test_onednn_computes_on_every_x86():
    assert IsMklEnabled()


@pytest.mark.parametrize(
    "name, argument, status", [("wgan", "--help", 0), *((n, "--lr=nan", 2) for n in ALL_SCRIPTS)]
)
def test_flags_are_read_before_tensorflow_is_imported(
    name, argument, status, without_tensorflow, tmp_path
):
    done = run_script(name, argument, cwd=tmp_path)
    assert done.returncode == status
    assert done.stderr.count("\n") == (status == 2)


def test_ctrl_c_during_the_imports_says_nothing(without_tensorflow, tmp_path):
    done = run_script("wgan", "--seed=1", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_without_tensorflow_one_line_says_what_to_install_or_to_run(tmp_path):
    shutil.copytree(ROOT / "lib", tmp_path / "lib")
    shutil.copy(ROOT / "wgan-mnist.py", tmp_path)
    python = tmp_path / ".venv" / "bin" / "python"
    for words in "pip install -r requirements.txt", f"run it with {python}":
        command = [sys.executable, "-S", tmp_path / "wgan-mnist.py"]  # -S: no installed packages
        done = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert words in done.stderr
        python.parent.mkdir(parents=True, exist_ok=True)
        python.touch()  # as after make


def test_a_broken_package_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "tensorflow.py").write_text("raise ImportError('libhdf5.so: no such file')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    done = run_script("wgan", "--generator=some.h5", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "libhdf5.so: no such file" in done.stderr


@pytest.mark.parametrize(
    "error, status, line",
    [
        (UserError("give another\nfile"), 2, r"give another\\nfile"),
        (OSError(errno.ENOSPC, "No space left on device", "x.h5"), 2, "x.h5: .*: make room"),
        (OSError(errno.EACCES, "Permission denied", "x.h5"), 2, "x.h5: .*: check it, or write"),
        (MemoryError(), 2, "memory ran out: choose a smaller --batch-size"),
        (tf.errors.ResourceExhaustedError(None, None, "OOM"), 2, "memory ran out"),
        (Stopped("go on with: ...", signum=15), 143, "go on with"),
        (KeyboardInterrupt(), 130, None),
        (Finished(), 0, None),
    ],
)
def test_what_ends_a_program_is_told_in_one_line(error, status, line, monkeypatch, capsys):
    def fail(_params):
        raise error

    module = script("lsgan")
    monkeypatch.setattr(sys, "argv", ["lsgan-mnist.py"])
    try:
        program.main(module.parser, fail)
        ended = 0
    except SystemExit as end:
        ended = end.code
    assert ended == status
    told = capsys.readouterr().err
    assert re.match(f"lsgan-mnist.py: .*{line}" if line else "$", told)
    assert told.count("\n") == bool(line)


@pytest.mark.skipif(not shutil.which("dot"), reason="Graphviz is not installed")
def test_plot_model_draws_the_networks_and_trains_nothing(own, tmp_path, monkeypatch):
    assert main("acgan", [own, "--plot-model=networks.png"], monkeypatch) == 0
    assert min(plt.imread("networks.png").shape[:2]) > 500
    assert {path.name for path in tmp_path.iterdir()} == {"networks.png", "own images.npz"}


def test_plot_model_without_graphviz_says_what_to_install(refusal, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "install" in refusal("lsgan", "--plot-model=networks.png")
