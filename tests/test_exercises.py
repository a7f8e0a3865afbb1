"""The exercises of docs/exercises.md: each change leaves a script that trains, on other losses."""

import re
from pathlib import Path

from lib import data
from lib.generator import Generator

import pytest
from helpers import ROOT, apply_hunks, blocks, hunks, script
from tensorflow import keras

PAGE = (ROOT / "docs" / "exercises.md").read_text()
INTRODUCTION, *EXERCISES = re.split(r"^## (?=\d)", PAGE, flags=re.MULTILINE)


def commands(text):
    """Return script and flags of each training command."""
    found = re.findall(r"^ {4}python3 (\S+)-mnist\.py (.*--train-steps.*)$", text, re.MULTILINE)
    return [(name, flags.split()) for name, flags in found]


def take_step(name, flags, dataset):
    """Take a script's first step with these flags, save its generator; return the step's figures."""
    module = script(name)
    params = module.parser.parse_args([*flags, "--batch-size=2"])
    keras.utils.set_random_seed(params.seed)
    models = module.build_models(params, dataset)
    metrics = module.gan_step(models, data.Sampler(params, dataset), params)
    Generator(models[0]).save(f"{params.model_name}.h5")
    return {key: float(value) for key, value in metrics.items()}


UNCHANGED = dict(commands(INTRODUCTION))
figures = {}  # of the unchanged scripts


def test_ten_with_their_papers():
    assert [text.split(".")[0] for text in EXERCISES] == [str(n) for n in range(1, 11)]
    assert all("arxiv.org/abs/" in text for text in EXERCISES)


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda text: text.splitlines()[0])
def test_exercise(exercise, some_mnist, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ((name, flags),) = commands(exercise)
    base, path = name.split("-")[0], name
    if name != base:
        assert f"    cp {base}-mnist.py {name}-mnist.py\n" in exercise
        (diff,) = blocks("diff", exercise)
        changes = hunks(diff)
        assert 0 < sum(new.count("\n") for _, new in changes) <= 3
        path = tmp_path / name
        text = apply_hunks((ROOT / f"{base}-mnist.py").read_text(), changes)
        Path(f"{path}-mnist.py").write_text(text)
    if base not in figures:
        figures[base] = take_step(base, UNCHANGED[base], some_mnist)
    # the same seed, so that nothing but the change can tell
    assert take_step(path, flags, some_mnist) != figures[base]
    for code in blocks("python", exercise):
        exec(code, {})  # noqa: S102
