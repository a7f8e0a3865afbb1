"""Whether docs/library.md works, and what lib promises to callers of their own."""

import re
import shutil

import pytest
from helpers import ROOT


def test_the_page_runs_from_top_to_bottom(tmp_path, monkeypatch, capsys):
    """Runs all blocks of code of the page in one namespace, as a notebook's cells."""
    for name in "wgan-mnist.py", "pretrained":
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs" / "library.md").read_text(), re.DOTALL
    )
    assert len(blocks) > 8
    names = {}
    for block in blocks:
        if "import torch" in block:
            pytest.importorskip("torch", reason="all but the block on PyTorch ran")
        exec(compile(block, "library.md", "exec"), names)  # noqa: S102
    assert (tmp_path / "first" / "00003.png").exists()
    assert (names["images"].min(), names["images"].max()) > (0, 0.9)
    assert "(16, 28, 28, 1)" in capsys.readouterr().out
    assert abs(names["pixels"].numpy()[:, 0] - names["images"][..., 0]).max() < 1e-4
    shutil.rmtree(tmp_path / "first")
