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
    _, _, draws, walks, wrong, missing, child, stopped, trains, same = run(
        [
            f"import sys\nsys.path.insert(0, {str(ROOT)!r})\nfrom lib import gan",
            SETTINGS + "before = settings()",
            f"%run {acgan} --generator=pretrained/acgan_mnist.h5 --digit=3 --seed=1",
            f"%run {acgan} --generator=pretrained/acgan_mnist.h5 --interpolate --seconds=1",
            f"%run {lsgan} --lr=x",
            f"%run {lsgan} --generator=nothing.h5",
            f"!{sys.executable} {lsgan} --train-steps=1 --batch-size=2 --output-dir=child",
            INTERRUPT + f"%run {lsgan} --train-steps=100000 --batch-size=2 --output-dir=other",
            f"%run {lsgan} --train-steps=1 --batch-size=2",
            "print([a == b for a, b in zip(before, settings())])",
        ],
        tmp_path,
    )
    assert "3 3 3 3" in draws
    assert "image/png" in draws
    assert "walk.gif" in walks
    assert wrong.startswith("lsgan-mnist.py: argument --lr: give a number")
    assert missing.startswith("lsgan-mnist.py: there is no file nothing.h5")
    assert "finished after step 1" in child
    assert "finished after step 1" in trains
    assert "stopped after step" in stopped
    assert "--resume" in stopped
    assert "text/html" not in stopped
    assert same.strip() == str([True] * 6)


@pytest.mark.slow
def test_the_chapter():
    """Executes docs/chapter.ipynb from top to bottom, with two training steps in place of 100."""
    notebook = nbformat.read(ROOT / "docs" / "chapter.ipynb", as_version=4)
    (training,) = [cell for cell in notebook.cells if "range(1, 101)" in cell.source]
    training.source = training.source.replace("range(1, 101)", "range(1, 3)")
    resources = {"metadata": {"path": str(ROOT / "docs")}}
    NotebookClient(notebook, timeout=600, resources=resources).execute()
