"""Whether docs/library.md works, and what lib promises to callers of their own."""

from lib.generator import Generator

import pytest
from helpers import ROOT, blocks


def test_the_page_runs_from_top_to_bottom(tmp_path, monkeypatch, capsys):
    """Runs all blocks of code of the page in one namespace, as a notebook's cells."""
    for name in "cgan-mnist.py", "pretrained":
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    cells = blocks("python", (ROOT / "docs" / "library.md").read_text())
    assert len(cells) > 8
    names = {}
    *others, in_torch = cells
    for block in others:
        exec(compile(block, "library.md", "exec"), names)  # noqa: S102
    assert "(16, 28, 28, 1)" in capsys.readouterr().out
    assert (tmp_path / "first" / "00003.png").exists()
    assert Generator.load("cats.h5").classes == ["cat", "dog"]
    assert Generator.load("first.h5").source == "an array"  # and isn't scored as MNIST
    assert names["images"].shape == (16, 28, 28, 1)
    pytest.importorskip("torch", reason="all but the block on PyTorch ran")
    exec(compile(in_torch, "library.md", "exec"), names)  # noqa: S102
    assert abs(names["pixels"].numpy()[:, 0] - names["images"][..., 0]).max() < 1e-4
