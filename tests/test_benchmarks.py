"""The benchmarks: counting against hand-worked numbers, tables, and the smallest runs."""

import json
import shutil
import sys
from types import SimpleNamespace

from benchmarks import claims, contenders, distributed, figures, flops, publish, speed
from lib import pictures
from lib.generator import Generator
from lib.plumbing.tf import keras, layers
from lib.scoring import evaluation
from lib.scoring.table import COLUMNS
from lib.training.folder import generator_path

import matplotlib.pyplot as plt
import numpy as np
import pytest

# Multiplications of the networks, for one image: weights times the positions they meet.
DENSE = 100 * 6272
DRAW = DENSE + 25 * (49 * 128 * 128 + 196 * 128 * 64 + 784 * 64 * 32 + 784 * 32)
FIRST, LAST = 25 * 196 * 32, 25 * 16 * 128 * 256
JUDGE = FIRST + 25 * (49 * 32 * 64 + 16 * 64 * 128) + LAST + 4096


def test_operations_of_a_step(monkeypatch):
    def two_updates(*words):
        script, params, *others = contenders.set_up(*words)
        params.n_critic = 2
        return script, params, *others

    monkeypatch.setattr(flops, "set_up", two_updates)
    # The generator draws a batch. The discriminator learns from two: forwards, and backwards
    # to weights and inputs, but not to images. The generator learns from one, through the
    # discriminator's inputs: backwards to all but the noise and the discriminator's weights.
    update = 2 * (3 * JUDGE - FIRST)
    deceive = 3 * DRAW - DENSE + 2 * JUDGE
    assert flops.of_step("lsgan", 64) == 2 * 64 * (DRAW + update + deceive)
    # The penalty's pass forwards ends at the last activation, before the last convolution and the
    # dense layer. The pass back to the image, its reversal and the weights' gradients follow; the
    # reversal ends before the dense layer.
    penalty = 4 * JUDGE - LAST - 2 * 4096
    assert flops.of_step("wgan-gp", 64) == 2 * 64 * (2 * (DRAW + update + penalty) + deceive)


def test_contenders_make_steps():
    """The script's own steps in a process of their own; the chapter's, which others test, draw."""
    field = speed.race({"ours": ("ours", "lsgan", "float32", 1)}, rounds=1)
    (seconds,) = field["ours"].seconds
    assert seconds > 0
    draw = contenders.ChapterDraws(2)
    shapes = [array.shape for array in (draw.images, draw.image_labels, draw.noise, draw.labels)]
    assert shapes == [(2, 28, 28, 1), (2, 10), (2, 100), (2, 10)]


def test_gradients_that_cross():
    """Counts updates a step, and megabytes of gradients, by the networks' sizes."""
    assert distributed.gradients("lsgan") == (2, pytest.approx(9.5, abs=0.1))
    assert distributed.gradients("wgan") == (11, pytest.approx(48.4, abs=0.1))


SCORES = {key: 0.5 for key, *_ in COLUMNS.values()} | {"count": 1000, "class_accuracy": 10 * [0.5]}
FACTS = """{"steps": 4, "steps_per_second": 0.002, "versions": {"tensorflow": "2"},
"parameters": {"seed": 1, "precision": "float32"}, "machine": {"cores": 2, "processor": "abacus"}}
"""
HISTORY = """step,wasserstein_estimate,frechet_distance,coverage,recall,total_variation
1,9.0,300.0,0.1,0.1,0.9
2,7.0,,,,
3,-1.0,4.0,0.9,0.5,0.1
4,2.0,80.0,0.2,0.1,0.5
"""


def finished_run(run, *labels):
    """Make the folder of a finished run, whose grids are all grey, and its generator's file."""
    inputs = [keras.Input((100,)), *labels]
    images = layers.Reshape((28, 28, 1))(layers.Dense(784, "sigmoid")(inputs[-1]))
    run.mkdir(parents=True)
    (run / "run.json").write_text(FACTS)
    (run / "history.csv").write_text(HISTORY)
    for step in 1, 2, 4:
        (run / f"0000{step}.png").write_bytes(pictures.encode(np.full((16, 28, 28, 1), step / 5)))
    Generator(keras.Model(inputs, images)).save(generator_path(run))


@pytest.fixture
def scored(monkeypatch):
    """Have the benchmarks find figures that are known; other tests are of the scores."""
    monkeypatch.setattr(evaluation, "evaluate", lambda *_, **__: SCORES)
    monkeypatch.setattr(evaluation, "evaluate_real", lambda *_: SCORES)
    near = {"precision": 0.4, "coverage": 0.4, "recall": 0.4}
    monkeypatch.setattr(evaluation, "neighbour_scores", lambda real, fake: near)


def test_claims_train_and_draw(scored, tmp_path, monkeypatch):
    commands = []
    monkeypatch.setattr(claims.os, "system", lambda command: commands.append(command))
    finished_run(tmp_path / "wgan-seed1" / "wgan_mnist")
    finished_run(tmp_path / "acgan-seed1" / "acgan_mnist", keras.Input((10,)))
    flags = ["--runs", "wgan", "acgan", "--seeds=1", "--steps=4", "--interval=1"]
    monkeypatch.setattr(sys, "argv", ["claims", *flags, f"--output-dir={tmp_path}"])
    claims.main()
    assert "acgan-mnist.py" in commands[1] and "--resume" not in commands[1]
    text = (tmp_path / "claims.md").read_text()
    conditions, table, digits, moved, estimate = text.strip().split("\n\n")
    assert conditions.startswith("4 steps, batches of 64, float32, seed 1, 10,000 images")
    assert [row.split()[1] for row in table.splitlines()[2:]] == ["training", "wgan", "acgan"]
    assert "| acgan: accuracy |" in digits and moved.startswith("| moved | 1-2 | 2-4 |")
    assert estimate.endswith("distance 1.00, over 3 points from step 1 to 4")
    for picture in "curves", "grids", "digits", "estimates":
        assert min(plt.imread(tmp_path / f"{picture}.png").shape[:2]) > 90
    # a run that stopped goes on
    (tmp_path / "wgan-seed1/wgan_mnist/checkpoints").mkdir()
    (tmp_path / "wgan-seed1/wgan_mnist/checkpoints/ckpt-4.index").touch()
    args = SimpleNamespace(output_dir=tmp_path, steps=6, interval=1, precision="float32")
    claims.train("wgan", 1, args)
    assert "--train-steps=6" in commands[2] and "--resume" in commands[2]


def test_movement_between_grids(tmp_path):
    finished_run(tmp_path / "run")
    steps, moved = figures.movement(tmp_path / "run")
    assert steps == [1, 2, 4]
    np.testing.assert_allclose(moved, [28 / 5, 28 * 2 / 5], rtol=0.01)


def test_publish(scored, tmp_path, monkeypatch):
    pretrained, run = tmp_path / "pretrained", tmp_path / "lsgan_mnist"
    shutil.copytree(publish.PRETRAINED, pretrained, ignore=shutil.ignore_patterns("*.h5"))
    monkeypatch.setattr(publish, "PRETRAINED", pretrained)
    finished_run(run)
    before = (pretrained / "README.md").read_text().splitlines()
    monkeypatch.setattr(sys, "argv", ["publish", str(run)])
    publish.main()
    assert (pretrained / "lsgan_mnist.h5").read_bytes() == generator_path(run).read_bytes()
    assert (pretrained / "lsgan_mnist_history.csv").read_text() == HISTORY
    facts = json.loads((pretrained / "lsgan_mnist.json").read_text())
    assert facts["scores"] == 5 * [SCORES] and facts["quick_scores"] == SCORES
    # the other generators' rows are what their JSON files say
    after = (pretrained / "README.md").read_text().splitlines()
    changed = [line for line, old in zip(after, before, strict=True) if line != old]
    assert [line.split()[1] for line in changed] == ["`lsgan_mnist.h5`", "training", "lsgan_mnist"]
    where = "| `lsgan_mnist.h5` | 4 | 1 | float32 | 0.6 | 2 cores, abacus, TensorFlow 2 | `"
    assert changed[0].startswith(where)


def test_spread_of_scores(scored):
    _, _, first, *rows = publish.spread("").splitlines()
    assert first == "| FD | 0.5000 | 0.0000 |"
    # also by half of the test images
    assert [row for row in rows if row.endswith("| 0.5000 | 0.0000 | 0.4000 | 0.4000 |")] == rows[
        1:4
    ]
