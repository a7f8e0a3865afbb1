"""Whether docs/library.md works, and what lib promises to callers of their own."""

import gc
import re
import weakref

from lib import gan
from lib.generator import Generator

import pytest
from helpers import ROOT, TOY_IMAGES, blocks, toy_models, toy_params


def test_each_block_works_after_the_first(tmp_path, monkeypatch, capsys):
    """Runs each block in a fresh namespace after the first, unless it goes on with the last."""
    for path in [*ROOT.glob("*-mnist.py"), ROOT / "pretrained"]:
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    first, *others = blocks("python", (ROOT / "docs" / "library.md").read_text())
    assert len(others) > 7
    *others, in_torch = others

    def run(block, names):
        exec(compile(block, "library.md", "exec"), names)  # noqa: S102

    for block in others:
        if not block.startswith("# goes on\n"):
            names = {}
            if not re.match("import numpy", block):  # plain Keras, without this project
                run(first, names)
        run(block, names)
    assert "discriminator_loss" in capsys.readouterr().out
    assert (tmp_path / "threes" / "00003.png").exists()
    assert (tmp_path / "three_15.png").exists()
    assert Generator.load("second.h5").source == "an array"  # and isn't scored as MNIST
    assert names["images"].shape == (16, 28, 28, 1)
    pytest.importorskip("torch", reason="all but the block on PyTorch ran")
    run(in_torch, names)
    assert abs(names["pixels"].numpy()[:, 0] - names["images"][..., 0]).max() < 1e-4


def test_a_training_leaves_no_images_in_memory(tmp_path):
    kept = []

    def step(models, draw, params):
        kept.append(weakref.ref(draw.x_train.handle))
        return gan.gan_step(models, draw, params)

    gan.train(toy_models(), TOY_IMAGES, toy_params(tmp_path, train_steps=2), step)
    gc.collect()
    assert [left() for left in kept] == [None]
