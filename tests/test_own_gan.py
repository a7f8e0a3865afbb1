"""docs/own-gan.md, followed to the letter: after each diff a step is taken, after the last a run."""

from lib import data
from lib.generator import Generator

import numpy as np
from helpers import ROOT, apply_hunks, blocks, hunks, main, script

PAGE = (ROOT / "docs" / "own-gan.md").read_text()
DCGAN = (ROOT / "dcgan-mnist.py").read_text()


def test_each_diff_leaves_a_script_that_trains(some_mnist, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    diffs, text = blocks("diff", PAGE), DCGAN
    assert len(diffs) == 6
    for diff in diffs:
        assert diff.count("\n+") - diff.count("\n-") < 10
        text = apply_hunks(text, hunks(diff))
        (tmp_path / "own-mnist.py").write_text(text)
        own = script(tmp_path / "own")
        params = own.parser.parse_args(["--batch-size=2"])
        models = own.build_models(params, some_mnist)
        before = [model.get_weights()[0] for model in models[:2]]
        own.gan_step(models, data.Sampler(params, some_mnist), params)
        for model, weights in zip(models[:2], before, strict=True):
            assert (model.get_weights()[0] != weights).any()
    flags = ["--train-steps=1", "--batch-size=2", "--seed=1"]
    assert main(tmp_path / "own", flags, monkeypatch) == 0
    flags = ["--generator=own_mnist.h5", "--interpolate", "--seconds=1"]
    assert main(tmp_path / "own", flags, monkeypatch) == 0
    assert "saved test_outputs/own_mnist_interpolated" in capsys.readouterr().out
    assert "class Lambda" not in text


def test_fine_tuning(some_mnist, tmp_path):
    """Begins with the weights of the trained generator."""
    (code,) = blocks("python", PAGE)
    lines = "".join(f"    {line}\n" if line else "\n" for line in code.splitlines())
    end = "    return generator, discriminator, adversarial\n"
    (tmp_path / "tuned-mnist.py").write_text(apply_hunks(DCGAN, [(end, lines + end)]))
    tuned = script(tmp_path / "tuned")
    generator, *_ = tuned.build_models(tuned.parser.parse_args([]), some_mnist)
    trained = Generator.load("pretrained/dcgan_mnist.h5").model
    for one, other in zip(generator.get_weights(), trained.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
