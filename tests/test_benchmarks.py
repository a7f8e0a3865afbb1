"""The benchmarks: counting against hand-worked numbers, tables, and the smallest runs."""

import json
import signal
import subprocess
import sys
import time
from argparse import Namespace
from contextlib import suppress
from pathlib import Path

from benchmarks import along_training, claims, flops, publish, spread
from lib import evaluation, pictures, signals

import matplotlib.pyplot as plt
import numpy as np
import pytest
import tensorflow as tf
from helpers import ROOT
from tensorflow.keras import layers

# Multiplications of the networks, for one image: weights times the positions they meet.
DENSE = 100 * 6272
GENERATOR = [
    DENSE,
    49 * 25 * 128 * 128,
    196 * 25 * 128 * 64,
    784 * 25 * 64 * 32,
    784 * 25 * 32,
]
FIRST = 196 * 25 * 32
DISCRIMINATOR = [FIRST, 49 * 25 * 32 * 64, 16 * 25 * 64 * 128, 16 * 25 * 128 * 256, 4096]


def counted(function, *shapes):
    specs = [tf.TensorSpec(shape) for shape in shapes]
    return flops.count(tf.function(function).get_concrete_function(*specs))


def test_layers():
    dense = layers.Dense(3)
    dense.build((None, 5))
    assert counted(dense, (7, 5)) == 2 * 7 * 5 * 3
    convolution = layers.Conv2D(4, 3, strides=2, padding="same")
    convolution.build((None, 8, 8, 2))
    assert counted(convolution, (7, 8, 8, 2)) == 2 * 7 * (4 * 4) * (3 * 3 * 2) * 4
    transposed = layers.Conv2DTranspose(4, 3, strides=2, padding="same")
    transposed.build((None, 8, 8, 2))
    assert counted(transposed, (7, 8, 8, 2)) == 2 * 7 * (8 * 8) * (3 * 3 * 2) * 4


@pytest.mark.parametrize(
    "layer, shape",
    [
        (layers.Dense(3), (7, 5)),
        (layers.Conv2D(4, 3, strides=2, padding="same"), (7, 8, 8, 2)),
        (layers.Conv2DTranspose(4, 3, strides=2, padding="same"), (7, 8, 8, 2)),
    ],
)
def test_gradients_cost_as_much_as_the_layer_each(layer, shape):
    layer.build(shape)

    def gradients(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
        return y, tape.gradient(y, [x, layer.kernel.value])

    assert counted(gradients, shape) == 3 * counted(layer, shape)
    # what nobody asks for is not computed
    assert counted(lambda x: gradients(x)[1][0], shape) == counted(layer, shape)


def test_step():
    # The generator draws a batch. The discriminator learns from two: forwards, and backwards
    # to weights and inputs, but not to images. The generator learns from one, through the
    # discriminator's inputs: backwards to all but the noise and the discriminator's weights.
    draw, judge = sum(GENERATOR), sum(DISCRIMINATOR)
    update = 2 * (3 * judge - FIRST)
    deceive = 3 * draw - DENSE + 2 * judge
    assert flops.of_step("lsgan", 64) == 2 * 64 * (draw + update + deceive)
    assert flops.of_step("wgan", 64) == 2 * 64 * (5 * (draw + update) + deceive)


def test_benchmark_runs():
    flags = ["--gans", "lsgan", "--batch-size", "2", "--sizes", "1", "2", "--rounds", "1"]
    command = [sys.executable, "-m", "benchmarks.speed", *flags]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = [
        line.strip("| ").split(" | ") for line in done.stdout.splitlines() if "| lsgan |" in line
    ]
    contenders = [row[1] for row in rows if len(row) == 9]
    assert contenders[0] == "Keras 2, the chapter's way"
    assert contenders[1:3] == ["ours, float32", "ours, mixed_bfloat16"]
    ours = rows[1]
    assert ours[4] == "1.00"
    assert float(ours[8]) > 0.1  # GB
    growth = [float(cell) for cell in rows[-1][1:]]
    assert len(growth) == 4
    assert min(growth) > 0


def test_ctrl_c_during_the_imports_says_nothing(without_tensorflow):
    command = [sys.executable, "-m", "benchmarks.spread"]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")


def has_contender(pid: int) -> bool:
    """Whether a process has started one; during its imports it starts others, as `uname`."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    with suppress(FileNotFoundError):  # one has ended meanwhile
        return any(b"contenders" in Path(f"/proc/{c}/cmdline").read_bytes() for c in children)
    return False


@pytest.mark.parametrize("name", ["speed", "distributed"])
def test_a_signal_ends_the_contenders_too(name):
    command = [sys.executable, "-m", f"benchmarks.{name}", "--gans", "lsgan", "--rounds=1"]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, **pipes) as process:
        while not has_contender(process.pid):
            assert process.poll() is None
            time.sleep(0.05)
        process.terminate()
        error = process.stderr.read()  # all have ended
    assert process.returncode == 143
    assert "Traceback" not in error


def test_table_of_claims():
    keys = [key for key, _ in evaluation.COLUMNS.values()]
    plain, labelled = keys[:6], keys
    found = {
        "one seed": [dict.fromkeys(plain, 0.5)],
        "two seeds": [dict.fromkeys(labelled, 0.25), dict.fromkeys(labelled, 0.75)],
    }
    rows = [line.strip("| ").split(" | ") for line in claims.table(found).splitlines()]
    assert rows[2] == ["one seed", "0.50", "0.50", *["0.500"] * 4]
    assert rows[3][1] == "0.50 ± 0.35"  # the standard deviation of 0.25 and 0.75
    assert rows[3][7] == "0.500 ± 0.354"
    digits = [{"digit_accuracy": [0.2] * 10, "digit_diversity": [1] * 10}, {}]
    digits[1] = {"digit_accuracy": [0.4] * 10, "digit_diversity": [1] * 10}
    text = claims.digit_table({"acgan": digits, "wgan": [{}]})
    assert "| acgan: accuracy | 0.300 |" in text
    assert "wgan" not in text


SCORES_AT_ONCE = f"""
import runpy, sys
sys.path.insert(0, "{ROOT}")
from lib import evaluation
evaluation.evaluate = lambda *_, quick: {{"frechet_distance": 1.0}}
runpy.run_path("{ROOT}/acgan-mnist.py", run_name="__main__")
"""


def test_claims_are_not_trained_twice(few_images, tmp_path, monkeypatch, capfd):
    (tmp_path / "acgan-mnist.py").write_text(SCORES_AT_ONCE)
    monkeypatch.setattr(claims, "ROOT", tmp_path)
    flags = ["--runs", "acgan", "--seeds=1", "--interval=4", f"--output-dir={tmp_path}"]
    weights_file = tmp_path / "acgan-seed1" / "acgan_mnist.h5"

    def run(steps):
        monkeypatch.setattr("sys.argv", ["claims", *flags, f"--steps={steps}"])
        claims.main()
        return weights_file.stat().st_mtime_ns

    first = run(4)
    assert run(4) == first
    assert run(5) > first
    assert json.loads((tmp_path / "acgan-seed1/acgan_mnist/run.json").read_text())["steps"] == 5
    text = (tmp_path / "claims.md").read_text()
    assert text.startswith("5 steps")
    capfd.readouterr()
    with pytest.raises(SystemExit, match="2"):  # nor is the result of 5 steps passed off as of 4
        run(4)
    (line,) = capfd.readouterr().err.splitlines()
    assert "has taken 5 steps already" in line  # the script's own
    assert "| acgan |" in text
    for picture in "grids.png", "digits.png", "curves.png":
        assert min(plt.imread(tmp_path / picture).shape[:2]) > 90


def test_movement_between_grids(tmp_path, monkeypatch):
    monkeypatch.setattr(along_training, "real_distance", lambda: 10.0)
    first = np.random.default_rng(1).uniform(size=(16, 28, 28, 1))
    second, third = first.copy(), np.zeros_like(first)
    second[:4, :5, :5] = 1 - first[:4, :5, :5]
    for step, images in enumerate((first, second, third)):
        (tmp_path / f"0000{step}.png").write_bytes(pictures.encode(images))
    steps, moved = along_training.movement(tmp_path)
    assert steps == [0, 1, 2]
    apart = np.abs(2 * first[:4, :5, :5] - 1).reshape(4, -1)
    expected = [np.linalg.norm(apart, axis=1).sum() / 16]
    expected += [np.linalg.norm(second.reshape(16, -1), axis=1).mean()]
    np.testing.assert_allclose(moved, np.divide(expected, 10), rtol=5e-3)


def test_estimate_against_distance(tmp_path):
    estimates, distances = [9.0, 5.0, -1.0, 2.0], ["300.0", "", "4.0", "80.0"]
    lines = ["step,wasserstein_estimate,frechet_distance"]
    rows = zip(estimates, distances, strict=True)
    lines += [f"{50 * i},{e},{d}" for i, (e, d) in enumerate(rows)]
    (tmp_path / "history.csv").write_text("\n".join(lines))
    text = along_training.estimate_against_distance(tmp_path)
    assert "distance 1.00, over 3 points from step 0 to 150" in text
    assert along_training.rank_correlation([1, 2, 3, 4], [1, 4, 9, 2]) == pytest.approx(0.4)
    (tmp_path / "history.csv").write_text("\n".join(lines[:2]))
    assert "scored once" in along_training.estimate_against_distance(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", '{"hyperparameters": 1}', "[" * 100_000])
@pytest.mark.parametrize("program", [claims, publish])
def test_a_damaged_run_json_is_one_line(program, content, tmp_path, monkeypatch, capsys):
    run = tmp_path / "lsgan-seed1" / "lsgan_mnist"
    run.mkdir(parents=True)
    (run / "run.json").write_text(content)
    flags = ["--runs", "lsgan", "--seeds=1", f"--output-dir={tmp_path}"]
    monkeypatch.setattr("sys.argv", ["program", *(flags if program is claims else [str(run)])])
    with pytest.raises(SystemExit, match="2"):
        program.main()
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "run.json doesn't hold the facts" in error


@pytest.fixture
def finished(tmp_path, few_images):
    """The folder of a finished run in tmp_path, as `claims` finds it."""
    asked = {"train_steps": 4, "precision": "float32", "save_interval": 2, "evaluate_interval": 2}
    where = {"machine": {"cores": 2}, "versions": {"tensorflow": "2"}, "steps_per_second": 1.0}
    facts = {"steps": 4, "hyperparameters": asked | {"seed": 1}, **where}
    history = "step,wasserstein_estimate,frechet_distance\n2,0.5,9.0\n4,0.2,5.0\n"
    run = tmp_path / "wgan-seed1" / "wgan_mnist"
    run.mkdir(parents=True)
    (run / "run.json").write_text(json.dumps(facts))
    (run / "history.csv").write_text(history)
    (run / "scores_00004.json").write_text('{"frechet_distance": 5.0}')
    for step in 2, 4:
        (run / f"0000{step}.png").write_bytes(pictures.encode(np.zeros((16, 28, 28, 1))))
    return run


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("run.json", b'{"steps": 4, "hyperparameters": {}}', "doesn't hold the facts of a run"),
        ("scores_00004.json", b"", "doesn't hold scores: remove it"),
        ("scores_00004.json", b"{}", "doesn't hold scores: remove it"),
        ("scores_00004.json", b'{"frechet_distance": "far"}', "doesn't hold scores: remove it"),
        ("history.csv", b"", "doesn't hold the scores of a run: train the run anew"),
        ("history.csv", b"\0\xff,\n", "doesn't hold the scores of a run: train the run anew"),
        ("history.csv", b"step,frechet_distance\n2,9.0\n", "doesn't hold the scores of a run"),
        ("history.csv", b"step,frechet_distance\nnan,9.0\n", "doesn't hold the scores of a run"),
        ("00004.png", b"no picture", "doesn't hold a sample grid: train the run anew"),
        ("00004.png", None, "has lost its sample grids: train the run anew"),
    ],
)
def test_what_claims_finds_damaged_is_one_line(
    name, content, message, finished, monkeypatch, capsys
):
    flags = ["--runs", "wgan", "--seeds=1", "--steps=4", "--interval=2"]
    monkeypatch.setattr("sys.argv", ["claims", *flags, f"--output-dir={finished.parents[1]}"])
    claims.main()
    capsys.readouterr()
    (finished / name).unlink() if content is None else (finished / name).write_bytes(content)
    with pytest.raises(SystemExit, match="2"):
        claims.main()
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error


def test_claims_keep_a_run_without_checkpoints(finished, monkeypatch, capfd):
    (finished / "checkpoints").mkdir()
    finished.with_name("wgan_mnist.h5").write_bytes(b"a generator")
    before = {path: path.read_bytes() for path in finished.parent.rglob("*.*")}
    flags = ["--runs", "wgan", "--seeds=1", "--steps=8", "--interval=2"]
    monkeypatch.setattr("sys.argv", ["claims", *flags, f"--output-dir={finished.parents[1]}"])
    with pytest.raises(SystemExit, match="2"):
        claims.main()
    assert "a run without a checkpoint left" in capfd.readouterr().err
    after = {path: path.read_bytes() for path in finished.parent.rglob("*.*")}
    assert after.items() >= before.items()


SIGNALS_ITS_PARENT = """
import os, pathlib, signal, sys, time
def heard(signum, frame):
    pathlib.Path(__file__).with_name("heard").write_text("")
    sys.exit(128 + signum)
signal.signal(signal.SIGNUM, heard)
for signum in signal.SIGINT, signal.SIGNUM:
    os.kill(os.getppid(), signum)
time.sleep(20)
"""


@pytest.mark.parametrize("name, status", [("SIGTERM", "143"), ("SIGHUP", "129")])
def test_claims_hand_a_signal_on_to_the_script(name, status, tmp_path, monkeypatch):
    script = SIGNALS_ITS_PARENT.replace("SIGNUM", name)
    (tmp_path / "lsgan-mnist.py").write_text(script)
    monkeypatch.setattr(claims, "ROOT", tmp_path)
    args = Namespace(output_dir=tmp_path, steps=4, interval=2, precision="float32")
    with pytest.raises(SystemExit, match=status), signals.leaving():
        claims.train("lsgan", 1, args)
    assert (tmp_path / "heard").exists()


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """What has runs published into tmp_path, where they are to be refused; returns its line."""
    monkeypatch.setattr(publish, "PRETRAINED", tmp_path / "pretrained")

    def run(*runs):
        monkeypatch.setattr("sys.argv", ["publish", *map(str, runs)])
        with pytest.raises(SystemExit, match="2"):
            publish.main()
        return capsys.readouterr().err

    return run


@pytest.mark.parametrize(
    "content", [b"", b"frechet_distance\n1\n", b"step,frechet_distance\n1,far\n"]
)
def test_a_damaged_history_is_not_published(content, finished, tmp_path, refused):
    (finished / "history.csv").write_bytes(content)
    assert "history.csv doesn't hold the scores of a run" in refused(finished)
    assert not (tmp_path / "pretrained").exists()


def test_the_current_folder_is_published(finished, monkeypatch, refused):
    monkeypatch.chdir(finished)
    assert f"there is no file {finished}.h5" in refused(".")


def test_no_run_replaces_the_classifier(finished, refused):
    run = finished.rename(finished.with_name("mnist_classifier.weights"))
    assert "mnist_classifier.weights is none of dcgan_mnist, " in refused(run)


def test_one_of_two_runs_of_a_name_is_asked_for(finished, monkeypatch, refused):
    monkeypatch.setattr(publish, "load", lambda run: None)
    assert "two runs are named wgan_mnist: give one of them" in refused(finished, finished)


def test_no_run_is_published_under_the_name_of_another_script(finished, refused):
    facts = json.loads((finished / "run.json").read_text()) | {"script": "lsgan_mnist"}
    (finished / "run.json").write_text(json.dumps(facts))
    assert f"{finished} is a run of lsgan_mnist" in refused(finished)


def test_nothing_is_published_by_halves(finished, monkeypatch, tmp_path, refused):
    monkeypatch.setattr(publish, "load", lambda run: None)
    monkeypatch.setattr(publish, "score", lambda *_: {"one.h5": b"1", "long" * 99: b"2"})
    monkeypatch.setattr(evaluation, "evaluate_real", lambda seed: {})
    assert "File name too long" in refused(finished)
    assert list((tmp_path / "pretrained").iterdir()) == []


def test_a_folder_that_cannot_be_written_is_told_before_scoring(
    finished, monkeypatch, tmp_path, refused
):
    (tmp_path / "pretrained").touch()
    monkeypatch.setattr(publish, "load", lambda run: None)
    monkeypatch.setattr(publish, "score", None)
    assert f"{tmp_path}/pretrained: File exists" in refused(finished)


@pytest.mark.parametrize("content", ["{}", '{"steps": 1}'])
def test_nothing_is_published_beside_what_is_damaged(content, finished, tmp_path, refused):
    other = tmp_path / "pretrained" / "lsgan_mnist.json"
    other.parent.mkdir()
    other.write_text(content)
    assert "lsgan_mnist.json doesn't hold" in refused(finished)
    assert list(other.parent.iterdir()) == [other]


def test_spread(few_images, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["spread", "--seeds=2"])
    spread.main()
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[0] for row in rows] == list(evaluation.COLUMNS)
    assert [len(row) for row in rows] == [3, 3, 5, 5, 5, 3, 3, 3, 3]
    one, other = (evaluation.evaluate_real(seed)["frechet_distance"] for seed in (1, 2))
    assert float(rows[0][1]) == pytest.approx((one + other) / 2, abs=1e-4)
    assert float(rows[0][2]) == pytest.approx(abs(one - other) / 2**0.5, abs=1e-4)
