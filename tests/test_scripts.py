"""The scripts as a user runs them: train, sample, and be told what is wrong."""

import json
import os
import pty
import re
import shlex
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from helpers import CONDITIONAL, FEW_STEPS, ROOT, SCRIPTS, main, run_script, saved, script


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", SCRIPTS)
def test_train_then_sample(name, tmp_path, monkeypatch, capsys):
    model_name = f"{name}_mnist"
    strict = os.environ | {"PYTHONWARNINGS": "error"}  # TensorFlow's are nobody's fault here
    trained = run_script(name, *FEW_STEPS, cwd=tmp_path, env=strict)
    assert trained.returncode == 0, trained.stderr
    assert trained.stderr == ""
    header, *lines = trained.stdout.splitlines()
    assert header.startswith(f"{model_name}: 60,000 images of MNIST, CPU, float32, seed ")
    assert [line[:4] for line in lines if "loss:" in line] == ["2/4 ", "4/4 "]
    assert (tmp_path / model_name / "networks.txt").read_text().count('Model: "') == 3
    assert ("w_estimate:" if name == "wgan" else "d_loss:") in trained.stdout
    assert ("4 5 6 7\n8 9 0 1" in trained.stdout) == (name in CONDITIONAL)
    pictures = sorted(path.name for path in (tmp_path / model_name).glob("0*.png"))
    assert pictures == ["00001.png", "00002.png", "00004.png"]

    *_, wrote, command = lines
    assert wrote == f"wrote {model_name}.h5 and {model_name}/; sample with:"
    _, said, *flags = shlex.split(command)
    assert said == str(ROOT / f"{name}-mnist.py")
    digit = ["--digit=3"] if name in CONDITIONAL else []
    monkeypatch.chdir(tmp_path)
    assert main(name, [*flags, *digit], monkeypatch) == 0
    sampled, error = capsys.readouterr()
    assert error == ""
    path = saved(sampled)
    what = "_digit3" if digit else ""
    assert re.fullmatch(rf"test_outputs/{model_name}{what}_seed\d+.png", str(path))
    places = plt.imread(tmp_path / path)[4:, 4:, 0].reshape(4, 60, 4, 60).swapaxes(1, 2)
    assert (places != places[0, 0]).any()  # 16 different images
    if digit:
        assert "3 3 3 3\n" in sampled


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_whole_step_is_one_graph(name, tmp_path, mnist):
    module = script(name)
    params = module.parser.parse_args([*FEW_STEPS, "--seed=1", f"--output-dir={tmp_path}"])
    models = module.build_models(params, mnist)
    calls = []
    for model in models[1:]:
        step = model.train_step
        model.train_step = lambda *args, step=step: calls.append(step) or step(*args)
    module.train(models, mnist, params)
    # Python ran it while it was traced, at most twice, not at each of the 4 steps
    assert len(calls) in [times * (11 if name == "wgan" else 2) for times in (1, 2)]


def test_own_data(tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (30, 12, 12), np.uint8)
    np.savez(tmp_path / "own images.npz", x_train=images, y_train=np.arange(30) % 3)
    monkeypatch.chdir(tmp_path)
    own = "--data=own images.npz"
    assert main("acgan", [own, "--latent-size=7", *FEW_STEPS], monkeypatch) == 0
    output = capsys.readouterr().out
    assert "0 1 2 0\n1 2 0 1\n" in output
    assert "acgan-mnist.py --model-name=acgan_own_images --resume" in output
    assert main("acgan", ["--generator=acgan_own_images.h5", "--digit=2"], monkeypatch) == 0
    assert plt.imread(saved(capsys.readouterr().out)).shape[:2] == (2 * (4 * 14 + 2),) * 2
    assert main("acgan", ["--generator=acgan_own_images.h5", "--digit=3"], monkeypatch) == 2
    assert "choose from 0 to 2" in capsys.readouterr().err


def test_another_script_does_not_resume_a_run(tmp_path, mnist, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.savez("數字.npz", x_train=mnist.x_train[:64, ..., 0])
    assert main("lsgan", ["--data=數字.npz", *FEW_STEPS], monkeypatch) == 0
    before = Path("lsgan_數字.h5").read_bytes()
    go_on = ["--model-name=lsgan_數字", "--resume", "--train-steps=6"]
    assert main("dcgan", go_on, monkeypatch) == 2
    assert "another script's" in capsys.readouterr().err
    assert Path("lsgan_數字.h5").read_bytes() == before
    assert main("lsgan", go_on, monkeypatch) == 0


def test_a_terminal_shows_a_bar_with_the_losses(tmp_path):
    terminal, end = pty.openpty()
    command = [sys.executable, ROOT / "lsgan-mnist.py", *FEW_STEPS]
    with subprocess.Popen(command, stdout=end, cwd=tmp_path):
        os.close(end)
        shown = b""
        with suppress(OSError):  # how Linux says that the other end is closed
            while piece := os.read(terminal, 4096):
                shown += piece
    os.close(terminal)
    last = shown.rpartition(b"\r\n")[0].split(b"4/4")[-1]
    assert "━".encode() in last
    assert re.match(rb".*s/step.* - d_loss: \d+\.\d+ - a_loss: \d", last), shown


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams(closed, plain, tmp_path):
    command = f"{sys.executable} {ROOT}/wgan-mnist.py --generator={plain} {closed}"
    assert subprocess.run(command, shell=True, check=False, cwd=tmp_path).returncode == 0
    assert len(list(tmp_path.glob("test_outputs/*.png"))) == 1


def test_settings_of_other_projects_change_nothing(plain, tmp_path, monkeypatch):
    sample = ["wgan", f"--generator={plain}", "--seed=1"]
    picture = tmp_path / saved(run_script(*sample, cwd=tmp_path).stdout)
    before = picture.read_bytes()
    picture.unlink()
    settings = {"floatx": "float16", "image_data_format": "channels_first"}
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "1")
    (tmp_path / "matplotlibrc").write_text("image.origin: lower\nsavefig.format: pdf\n")
    done = run_script(*sample, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert picture.read_bytes() == before


def test_a_home_that_cannot_be_written(plain, tmp_path, monkeypatch):
    monkeypatch.delenv("MPLCONFIGDIR", raising=False)
    monkeypatch.setenv("HOME", "/proc/nowhere")
    done = run_script("wgan", f"--generator={plain}", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.parametrize("argument, status", [("--help", 0), ("--lr=nan", 2), ("--seed=1", 130)])
def test_flags_are_read_before_tensorflow_is_imported(
    name, argument, status, without_tensorflow, tmp_path
):
    done = run_script(name, argument, cwd=tmp_path)
    assert done.returncode == status
    assert done.stderr.count("\n") == (status == 2)


def test_without_tensorflow_one_line_says_what_to_install(tmp_path):
    command = [sys.executable, "-S", ROOT / "wgan-mnist.py"]  # -S: no installed packages
    done = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "pip install -r requirements.txt" in done.stderr


@pytest.mark.parametrize("backend", ["module://missing", "module://aborting"])
def test_a_toolkit_that_fails_costs_the_window_alone(backend, plain, tmp_path, monkeypatch):
    (tmp_path / "aborting.py").write_text("import os\nos.abort()\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("MPLBACKEND", backend)
    monkeypatch.setenv("DISPLAY", ":77")
    done = run_script("wgan", f"--generator={plain}", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1].startswith("no window")
    assert (tmp_path / saved(done.stdout)).exists()


@pytest.mark.parametrize(
    "variable, value", [("MPLBACKEND", "nonsense"), ("KERAS_HOME", "with-nonsense")]
)
def test_settings_of_nonsense_are_one_line(variable, value, tmp_path, monkeypatch):
    (tmp_path / "with-nonsense").mkdir()
    (tmp_path / "with-nonsense/keras.json").write_text('["float32"]')
    monkeypatch.setenv(variable, value)
    done = run_script("wgan", "--generator=some.h5", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert {"MPLBACKEND": "MPLBACKEND", "KERAS_HOME": "keras.json"}[variable] in done.stderr


def test_a_broken_package_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "h5py.py").write_text("raise ImportError('libhdf5.so: no such file')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    done = run_script("wgan", "--generator=some.h5", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "libhdf5.so: no such file" in done.stderr
