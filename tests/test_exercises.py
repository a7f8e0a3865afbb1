"""The exercises of docs/exercises.md, done as a reader would: each runs, and changes the losses."""

import re
from pathlib import Path

from lib import data

import pytest
from helpers import ROOT, apply_hunks, blocks, hunks, main

PAGE = (ROOT / "docs" / "exercises.md").read_text()
INTRODUCTION, *EXERCISES = re.split(r"^## (?=\d)", PAGE, flags=re.MULTILINE)
# after the page's flags, which they replace
ONE_STEP = ["--train-steps=1", "--batch-size=2"]


def commands(text):
    """Return script and flags of each training command, but for scoring, which takes long."""
    found = re.findall(r"^ {4}python3 (\S+)-mnist\.py (.*--train-steps.*)$", text, re.MULTILINE)
    return [(name, re.sub(r"--evaluate-interval=\d+", "", flags).split()) for name, flags in found]


def run_of(flags):
    """Return the name of the run that a command begins."""
    (given,) = (flag.removeprefix("--model-name=") for flag in flags if "--model-name" in flag)
    return given


@pytest.fixture
def history(tmp_path, monkeypatch, some_mnist):
    """Return what trains one step of a script in tmp_path, and returns the run's history."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(data, "load", lambda *_, **__: some_mnist)

    def train(script, flags, run):
        # tracing a step of 5 rounds takes twice as long
        rounds = ["--n-critic=2"] if "wgan" in script and "--n-critic=1" not in flags else []
        path = tmp_path / script if (tmp_path / f"{script}-mnist.py").exists() else script
        assert main(path, [*flags, *ONE_STEP, *rounds], monkeypatch) == 0
        return Path(run, "history.csv").read_text()

    return train


UNCHANGED = dict(commands(INTRODUCTION))
histories = {}  # of the unchanged scripts


def test_ten_with_their_papers():
    assert [text.split(".")[0] for text in EXERCISES] == [str(n) for n in range(1, 11)]
    assert all("arxiv.org/abs/" in text for text in EXERCISES)


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda text: text.splitlines()[0])
def test_exercise(exercise, history, tmp_path):
    ((name, flags),) = commands(exercise)
    script = name.split("-")[0]
    if script not in histories:
        histories[script] = history(script, UNCHANGED[script], f"{script}_base")

    run = run_of(flags)
    if name != script:
        assert f"    cp {script}-mnist.py {name}-mnist.py\n" in exercise
        (diff,) = blocks("diff", exercise)
        changes = hunks(diff)
        assert 0 < sum(new.count("\n") for _, new in changes) <= 3
        text = apply_hunks((ROOT / f"{script}-mnist.py").read_text(), changes)
        (tmp_path / f"{name}-mnist.py").write_text(text)
    # the same seed, so that nothing but the change can tell
    assert history(name, flags, run) != histories[script]
    for code in blocks("python", exercise):
        exec(code, {})  # noqa: S102
