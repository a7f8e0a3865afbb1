"""PyTorch's steps against the scripts'; it is skipped where there is no PyTorch."""

import subprocess
import sys

import numpy as np
import pytest
from helpers import ALL_SCRIPTS, ROOT
from tensorflow import keras

torch = pytest.importorskip("torch")

from benchmarks import torch_compare, torch_steps
from lib import gan

torch.set_num_threads(1)  # others would wait busily for the cores that other tests use


@pytest.mark.parametrize("name", ALL_SCRIPTS)
def test_steps_are_the_scripts(name):
    shares = torch_compare.compare(name)
    print(name, shares)
    # 2e-6, or 2e-3 where rounding decides a ReLU's slope; symmetric cropping gave 1.0
    assert max(shares.values()) <= 0.05


def test_first_weights_are_drawn_as_keras_draws_them():
    twin = torch_steps.Twin("wgan", seed=1)
    networks = gan.generator(keras.Input((100,)), 28), gan.discriminator(keras.Input((28, 28, 1)))
    for net, network in zip((twin.generator, twin.discriminator), networks, strict=True):
        weights = zip(torch_steps.keras_weights(net), network.get_weights(), strict=True)
        for our, their in weights:
            assert our.shape == their.shape
            assert float(our.abs().max()) == pytest.approx(np.abs(their).max(), rel=0.02)
            assert float(our.std(correction=0)) == pytest.approx(their.std(), rel=0.1)


def test_seeds_are_trained_without_tensorflow(tmp_path, without_tensorflow, monkeypatch):
    folder = tmp_path / "run"
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    command = [sys.executable, "-m", "benchmarks.torch_steps", f"--output-dir={folder}"]
    flags = ["--gan=lsgan", "--seeds=2", "--steps=50", "--batch-size=1", "--device=cpu"]
    subprocess.run([*command, *flags], check=True, cwd=ROOT)
    head, *rows = (folder / "losses.csv").read_text().splitlines()
    assert head == "seed,step,discriminator_loss,adversarial_loss"
    assert [row.split(",")[:2] for row in rows] == [["1", "50"], ["2", "50"]]
    generator = gan.generator(keras.Input((100,)), 28)
    generator.set_weights(list(np.load(folder / "generator_2.npz").values()))
