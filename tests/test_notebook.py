"""The scripts and the chapter in a notebook, with a real kernel."""

import sys

import nbformat
import pytest
from helpers import ROOT
from nbclient import NotebookClient

SETTINGS = """
import logging, matplotlib, os, signal, sys
from tensorflow import keras

def settings():
    streams = sys.stdout, sys.stderr
    handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    levels = [logging.getLogger(name).level for name in ("absl", "tensorflow", "matplotlib")]
    config = keras.config
    of_keras = config.floatx(), config.epsilon(), config.dtype_policy().name
    return streams, handlers, levels, of_keras, dict(matplotlib.rcParams), dict(os.environ)
"""
INTERRUPT = """
import glob, threading, time

def interrupt(folder):
    while not glob.glob(f"{folder}/checkpoints/ckpt-*.index"):
        time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=interrupt, args=["other/lsgan_mnist"]).start()
"""


def run(cells, folder):
    """Execute cells in a kernel; return what each printed, showed and raised, as text."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=600, resources=resources, allow_errors=True).execute()
    found = []
    for cell in notebook.cells:
        of_kind = {
            "stream": lambda output: output.text,
            "error": lambda output: f"{output.ename} {output.evalue}\n",
        }
        shown = (
            of_kind.get(output.output_type, lambda output: " ".join(output.data))(output)
            for output in cell.outputs
        )
        found.append("".join(shown))
    return found


def test_scripts_in_cells(tmp_path, monkeypatch):
    """Runs scripts by %run and !python; after each, the session is as it was."""
    monkeypatch.delenv("MPLBACKEND")  # the kernel sets its own
    acgan, lsgan = f"{ROOT}/acgan-mnist.py", f"{ROOT}/lsgan-mnist.py"
    few = "--train-steps=2 --batch-size=4"
    _, _, draws, walks, wrong, missing, trains, child, same, stopped, resumed, alive = run(
        [
            f"import sys\nsys.path.insert(0, {str(ROOT)!r})\nfrom lib import gan",
            SETTINGS + "before = settings()",
            f"%run {acgan} --generator=pretrained/acgan_mnist.h5 --digit=3 --seed=1",
            f"%run {acgan} --generator=pretrained/acgan_mnist.h5 --interpolate --seconds=1",
            f"%run {lsgan} --lr=x",
            f"%run {lsgan} --generator=nothing.h5",
            f"%run {lsgan} {few}",
            f"!{sys.executable} {lsgan} {few} --output-dir=child",
            "print([a == b for a, b in zip(before, settings())])",
            INTERRUPT + f"%run {lsgan} --train-steps=100000 --batch-size=4 --output-dir=other",
            f"%run {lsgan} --output-dir=other --resume --evaluate",
            "print('the kernel lives', settings()[1] == before[1])",
        ],
        tmp_path,
    )
    assert "3 3 3 3" in draws
    assert "image/png" in draws
    assert "walk.gif" in walks
    assert wrong.startswith("lsgan-mnist.py: argument --lr: give a number")
    assert missing.startswith("lsgan-mnist.py: there is no file nothing.h5")
    assert "finished after step 2" in trains
    assert "text/html" not in trains
    assert "finished after step 2" in child
    assert same.strip() == str([True] * 6)
    assert "stopped after step" in stopped
    assert "--resume" in stopped
    assert "--evaluate draws with a trained generator" in resumed
    assert alive.strip() == "the kernel lives True"


@pytest.mark.slow
def test_the_chapter():
    """Executes docs/chapter.ipynb from top to bottom."""
    notebook = nbformat.read(ROOT / "docs" / "chapter.ipynb", as_version=4)
    resources = {"metadata": {"path": str(ROOT / "docs")}}
    NotebookClient(notebook, timeout=600, resources=resources).execute()
