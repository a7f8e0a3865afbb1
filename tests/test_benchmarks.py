"""The benchmarks: counting against hand-worked numbers, tables, and the smallest runs."""

import argparse
import json
import shutil
import sys
from types import SimpleNamespace

from benchmarks import claims, distributed, figures, flops, publish, speed
from lib import gan, generator_file, pictures
from lib.plumbing.tf import keras, layers, tf
from lib.scoring import evaluation
from lib.scoring.table import COLUMNS
from lib.training.folder import generator_path

import helpers
import matplotlib.pyplot as plt
import numpy as np
import pytest

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


def cells(text):
    """The rows of a table in Markdown, without its heads."""
    return [line.strip("|").strip().split(" | ") for line in text.splitlines()[2:]]


@pytest.mark.parametrize(
    "layer, shape, multiplications",
    [
        (layers.Dense(3), (7, 5), 7 * 5 * 3),
        (layers.Conv2D(4, 3, 2, padding="same"), (7, 8, 8, 2), 7 * (4 * 4) * (3 * 3 * 2) * 4),
        (
            layers.Conv2DTranspose(4, 3, 2, padding="same"),
            (7, 8, 8, 2),
            7 * (8 * 8) * (3 * 3 * 2) * 4,
        ),
    ],
)
def test_operations_of_layers_and_gradients(layer, shape, multiplications):
    def gradients(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
        return y, tape.gradient(y, [x, layer.kernel.value])

    def counted(function):
        return flops.count(tf.function(function).get_concrete_function(tf.TensorSpec(shape)))

    layer.build(shape)
    assert counted(layer) == 2 * multiplications
    assert counted(gradients) == 3 * 2 * multiplications
    # what nobody asks for is not computed
    assert counted(lambda x: gradients(x)[1][0]) == 2 * multiplications


def test_operations_of_a_step():
    # The generator draws a batch. The discriminator learns from two: forwards, and backwards
    # to weights and inputs, but not to images. The generator learns from one, through the
    # discriminator's inputs: backwards to all but the noise and the discriminator's weights.
    draw, judge = sum(GENERATOR), sum(DISCRIMINATOR)
    update = 2 * (3 * judge - FIRST)
    deceive = 3 * draw - DENSE + 2 * judge
    assert flops.of_step("lsgan", 64) == 2 * 64 * (draw + update + deceive)
    assert flops.of_step("wgan", 64) == 2 * 64 * (5 * (draw + update) + deceive)
    # The penalty's pass forwards ends at the last activation, before the last convolution and the
    # dense layer. The pass back to the image, its reversal and the weights' gradients follow; the
    # reversal ends before the dense layer.
    penalty = 4 * judge - DISCRIMINATOR[-2] - 2 * DISCRIMINATOR[-1]
    assert flops.of_step("wgan-gp", 64) == 2 * 64 * (5 * (draw + update + penalty) + deceive)


def test_contenders_make_steps():
    """The script's own steps, and the chapter's on Keras 2."""
    name, ours, chapter, ratio = speed.growth_row("lsgan", [1], rounds=1)
    assert name == "lsgan"
    assert min(float(ours), float(chapter), float(ratio)) > 0


def test_table_of_speed(monkeypatch, capsys):
    seconds = {"matmul": [1.0, 1.0], "Keras": [8.0, 2.0], "ours": [2.0, 1.0]}

    def race(entries, rounds):
        return {
            label: SimpleNamespace(seconds=seconds[label.split()[0].strip(",")], first=3, memory=1)
            for label in entries
        }

    monkeypatch.setattr(speed, "race", race)
    monkeypatch.setattr(speed, "find_spec", lambda name: None)  # without PyTorch
    monkeypatch.setattr(speed, "PRECISIONS", ("float32", "mixed_bfloat16"))
    monkeypatch.setattr(flops, "of_step", lambda *_: 0.3 * speed.PRODUCT)
    chapter, *ours = speed.main_rows("lsgan", batch_size=15, rounds=2)
    # 15 images in 5 s; 4 and 2 times as long as ours; 0.3 products in 8 and 2 s
    assert chapter[2:] == ["5000", "3", "3.00", "3.00", "6%", "3.0", "1.00"]
    assert [row[1:4] for row in ours] == [
        [f"ours, {precision}", "1500", "10"] for precision in speed.PRECISIONS
    ]
    assert "137 GFLOP/s in float32" in capsys.readouterr().out


def test_gradients_that_cross():
    """Counts updates a step, and megabytes of gradients, by the networks' sizes."""
    assert distributed.gradients("lsgan") == (2, pytest.approx(9.5, abs=0.1))
    assert distributed.gradients("wgan") == (11, pytest.approx(48.4, abs=0.1))


SAYS_ITS_FLAGS = """
import json, pathlib, sys
pathlib.Path(__file__).with_name("argv").write_text(json.dumps(sys.argv[1:]))
sys.exit("--train-steps=9" in sys.argv)
"""


def test_claims_start_the_script_or_have_it_go_on(tmp_path, monkeypatch):
    (tmp_path / "dcgan-mnist.py").write_text(SAYS_ITS_FLAGS)
    monkeypatch.setattr(claims, "ROOT", tmp_path)
    asked = {"precision": "float32", "interval": 2}

    def flags(steps):
        args = SimpleNamespace(output_dir=tmp_path / "out", steps=steps, **asked)
        folder = claims.train("dcgan-batch-norm", 3, args)
        argv = json.loads((tmp_path / "argv").read_text())
        return folder, helpers.script("dcgan").parser.parse_args(argv)

    folder, params = flags(4)
    assert folder == tmp_path / "out" / "dcgan-batch-norm-seed3" / "dcgan_mnist"
    assert (params.seed, params.train_steps, params.batch_norm, params.resume) == (
        3,
        4,
        True,
        False,
    )
    assert (params.save_interval, params.evaluate_interval) == (2, 2)
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / "ckpt-4.index").touch()
    assert flags(6)[1].resume
    with pytest.raises(SystemExit, match="stopped at dcgan-batch-norm, seed 3"):
        flags(9)


FACTS = """{"steps": 4, "steps_per_second": 0.002, "versions": {"tensorflow": "2"},
"parameters": {"seed": 1, "precision": "float32"}, "machine": {"cores": 2, "processor": "abacus"}}
"""
HISTORY = """step,wasserstein_estimate,frechet_distance,coverage,recall,total_variation
1,9.0,300.0,0.1,0.1,0.9
2,7.0,,,,
3,-1.0,4.0,0.9,0.5,0.1
4,2.0,80.0,0.2,0.1,0.5
"""


def finished_run(place, name):
    """Make the folder of a finished run and its generator's file; return the folder."""
    run = place / f"{name}_mnist"
    run.mkdir(parents=True)
    (run / "run.json").write_text(FACTS)
    (run / "history.csv").write_text(HISTORY)
    for step in 1, 2, 4:
        images = np.full((16, 28, 28, 1), step / 4)
        (run / f"0000{step}.png").write_bytes(pictures.encode(images))
    labels = keras.Input((10,)) if name == "acgan" else None
    generator = gan.generator(keras.Input((100,)), 28, labels=labels)
    generator_file.save(generator, generator_path(run))
    return run


def scores(value, labelled):
    keys = [key for key, _ in COLUMNS.values()]
    found = dict.fromkeys(keys if labelled else keys[:6], value)
    return found | ({"class_accuracy": [value] * 10} if labelled else {})


def test_claims_write_tables_and_figures(tmp_path, monkeypatch, capsys):
    runs = {name: finished_run(tmp_path, name) for name in ("acgan", "wgan")}
    values = iter([0.25, 0.75, 0.25, 0.75])
    monkeypatch.setattr(claims, "train", lambda label, seed, args: runs[label])
    monkeypatch.setattr(
        claims, "score", lambda run, steps: scores(next(values), run == runs["acgan"])
    )
    monkeypatch.setattr(evaluation, "evaluate_real", lambda seed: scores(0.5, True))
    flags = ["--runs", "wgan", "acgan", "--seeds=2", "--steps=4", "--interval=1"]
    monkeypatch.setattr(sys, "argv", ["claims", *flags, f"--output-dir={tmp_path}"])
    claims.main()
    text = (tmp_path / "claims.md").read_text()
    assert text == capsys.readouterr().out
    conditions, table, digits, moved, estimate = text.strip().split("\n\n")
    assert conditions.startswith("4 steps, batches of 64, float32, seeds 1 to 2, 10,000 images")
    real, wgan, acgan = cells(table)
    assert real[:4] == ["training images", "0.50", "0.50", "0.500"]
    assert wgan[1] == "0.50 ± 0.35"  # the standard deviation of 0.25 and 0.75
    assert (wgan[7].strip(), acgan[7]) == ("", "0.500 ± 0.354")
    assert cells(digits)[1][:2] == ["acgan: accuracy", "0.500"]
    assert moved.startswith("| moved | 1-2 | 2-4 |")
    assert estimate.endswith("distance 1.00, over 3 points from step 1 to 4")
    for picture in "curves", "grids", "digits", "estimates":
        assert min(plt.imread(tmp_path / f"{picture}.png").shape[:2]) > 90


def test_movement_between_grids(tmp_path):
    first = np.random.default_rng(1).uniform(size=(16, 28, 28, 1))
    second, third = first.copy(), np.zeros_like(first)
    second[:4, :5, :5] = 1 - first[:4, :5, :5]
    for step, images in enumerate((first, second, third)):
        (tmp_path / f"0000{step}.png").write_bytes(pictures.encode(images))
    steps, moved = figures.movement(tmp_path)
    assert steps == [0, 1, 2]
    apart = np.abs(2 * first[:4, :5, :5] - 1).reshape(4, -1)
    expected = [np.linalg.norm(apart, axis=1).sum() / 16]
    expected += [np.linalg.norm(second.reshape(16, -1), axis=1).mean()]
    np.testing.assert_allclose(moved, expected, rtol=5e-3)


def test_publish(few_images, tmp_path, monkeypatch):
    pretrained = tmp_path / "pretrained"
    shutil.copytree(publish.PRETRAINED, pretrained, ignore=shutil.ignore_patterns("*.h5"))
    monkeypatch.setattr(publish, "PRETRAINED", pretrained)
    monkeypatch.setattr(publish, "SEEDS", (1, 2))
    monkeypatch.setattr(publish, "QUICK_COUNT", 1000)
    run = finished_run(tmp_path, "lsgan")
    before = (pretrained / "README.md").read_text().splitlines()
    monkeypatch.setattr(sys, "argv", ["publish", str(run)])
    publish.main()
    assert (pretrained / "lsgan_mnist.h5").read_bytes() == generator_path(run).read_bytes()
    copied = (pretrained / "lsgan_mnist_history.csv").read_bytes()
    assert copied == (run / "history.csv").read_bytes()
    facts = json.loads((pretrained / "lsgan_mnist.json").read_text())
    assert [found["count"] for found in facts["scores"]] == [1000, 1000]
    # the other generators' rows are what their JSON files say
    after = (pretrained / "README.md").read_text().splitlines()
    assert len(after) == len(before)
    changed = [line for line, old in zip(after, before, strict=True) if line != old]
    assert [line.split()[1] for line in changed] == ["`lsgan_mnist.h5`", "training", "lsgan_mnist"]
    assert changed[0].startswith(
        "| `lsgan_mnist.h5` | 4 | 1 | float32 | 0.6 | 2 cores, abacus, TensorFlow 2 | `"
    )


def test_publish_takes_finished_runs_alone(tmp_path):
    with pytest.raises(argparse.ArgumentTypeError, match="no finished run lies in"):
        publish.finished_run(str(tmp_path))
