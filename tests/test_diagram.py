"""--plot-model: the networks as a picture."""

import shutil

import matplotlib.pyplot as plt
import pytest
from helpers import main


@pytest.mark.skipif(not shutil.which("dot"), reason="Graphviz is not installed")
@pytest.mark.parametrize("name", ["lsgan", "cgan", "acgan"])
def test_plot_model(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(name, ["--plot-model=networks.png"], monkeypatch) == 0
    assert min(plt.imread("networks.png").shape[:2]) > 500
    assert [path.name for path in tmp_path.iterdir()] == ["networks.png"]  # nothing was trained


def test_plot_model_without_graphviz(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main("lsgan", ["--plot-model=networks.png"], monkeypatch) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "install" in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name, message",
    [("own.png", "own.png exists: remove it"), ("own.jpg", "give the name of a .png file")],
)
def test_plot_model_replaces_nothing_and_draws_png_alone(
    name, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.png").write_bytes(b"a picture")
    assert main("lsgan", [f"--plot-model={name}"], monkeypatch) == 2
    assert message in capsys.readouterr().err
    assert (tmp_path / "own.png").read_bytes() == b"a picture"
