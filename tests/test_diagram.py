"""--plot-model: the networks as a picture."""

import shutil

import matplotlib.pyplot as plt
import pytest
from helpers import main


@pytest.mark.skipif(not shutil.which("dot"), reason="Graphviz is not installed")
def test_plot_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main("acgan", ["--plot-model=networks.png"], monkeypatch) == 0
    assert min(plt.imread("networks.png").shape[:2]) > 500
    assert [path.name for path in tmp_path.iterdir()] == ["networks.png"]  # nothing was trained


def test_plot_model_without_graphviz(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main("lsgan", ["--plot-model=networks.png"], monkeypatch) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "install" in line
    assert not list(tmp_path.iterdir())
