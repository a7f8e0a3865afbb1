"""docs/own-gan.md, followed to the letter: after each diff the script trains, and then samples."""

from pathlib import Path

from helpers import ROOT, apply_hunks, blocks, hunks, main

PAGE = (ROOT / "docs" / "own-gan.md").read_text()


def test_each_diff_leaves_a_script_that_trains(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    script = (ROOT / "dcgan-mnist.py").read_text()
    diffs = blocks("diff", PAGE)
    assert len(diffs) == 6
    for diff in diffs:
        assert diff.count("\n+") - diff.count("\n-") < 10
        script = apply_hunks(script, hunks(diff))
        Path("own-mnist.py").write_text(script)
        flags = ["--train-steps=2", "--batch-size=2", "--seed=1", "--overwrite"]
        assert main(tmp_path / "own", flags, monkeypatch) == 0
    assert main(tmp_path / "own", ["--generator=own_mnist.h5", "--interpolate"], monkeypatch) == 0
    assert "saved test_outputs/own_mnist_interpolated" in capsys.readouterr().out
    assert "class Lambda" not in script


def test_fine_tuning(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (code,) = blocks("python", PAGE)
    lines = "".join(f"    {line}\n" if line else "\n" for line in code.splitlines())
    text = (ROOT / "dcgan-mnist.py").read_text()
    end = "    return generator, discriminator, adversarial\n"
    Path("tuned-mnist.py").write_text(apply_hunks(text, [(end, lines + end)]))
    flags = ["--train-steps=1", "--batch-size=2", "--seed=1", "--model-name=tuned"]
    assert main(tmp_path / "tuned", flags, monkeypatch) == 0
