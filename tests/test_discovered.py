"""What an InfoGAN discovered: measures of drawn shapes, purity, and the tables."""

from benchmarks import discovered
from lib import data
from lib.generator import Generator

import numpy as np
import pytest
import tensorflow as tf
from helpers import script


def test_measures_of_bars():
    bar, leaning = np.zeros((2, 28, 28))
    bar[6:22, 10:12] = 1
    for row in range(6, 22):  # half a pixel to the right for each row up
        leaning[row, (start := round(10 + (22 - row) / 2)) : start + 2] = 1
    found = discovered.shape_measures(np.stack([bar, leaning, leaning[:, ::-1], bar / 2]))
    np.testing.assert_allclose(found["slant"], [0, 0.5, -0.5, 0], atol=0.02)
    assert found["width"][0] == pytest.approx(0.5)  # columns at -0.5 and 0.5
    assert found["stroke"][0] == pytest.approx(found["stroke"][3])


def test_report_reads_q_where_a_checkpoint_lies(tmp_path, monkeypatch):
    monkeypatch.setattr(discovered, "COUNT", 60)
    infogan = script("infogan")
    dataset = data.dataset(np.zeros((8, 28, 28), np.uint8))
    models = infogan.build_models(infogan.parser.parse_args(["--seed=1"]), dataset)
    path = tmp_path / "toy.h5"
    Generator(models[0]).save(path)
    without = discovered.report(path, seed=1)
    assert "purity" in without and "code 2 | stroke" in without and "recover" not in without
    test_images, labels = data.load_test()
    monkeypatch.setattr(data, "load_test", lambda: (test_images[:200], labels[:200]))
    checkpoint = tf.train.Checkpoint(discriminator=models[1])
    checkpoint.write(str(tmp_path / "toy/checkpoints/ckpt-1"))
    report = discovered.report(path, seed=1)
    assert "code 1 | recovered" in report and "test images: 0." in report
