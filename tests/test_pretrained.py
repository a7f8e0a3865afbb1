"""The generators that are shipped: whole, and as good as is said of them."""

import hashlib
import json

from lib.generator import Generator
from lib.scoring import evaluation
from lib.scoring.table import scalars

import pytest
from helpers import ALL_SCRIPTS, ROOT, main

PRETRAINED = ROOT / "pretrained"


def facts(name):
    return json.loads((PRETRAINED / f"{name}_mnist.json").read_text())


@pytest.mark.parametrize("name", [name.replace("-", "_") for name in ALL_SCRIPTS])
def test_a_shipped_generator_is_the_one_that_was_scored(name):
    content = (PRETRAINED / f"{name}_mnist.h5").read_bytes()
    assert hashlib.sha256(content).hexdigest() == facts(name)["sha256"]


# of noise alone, of digits, of categories and codes: the others' networks are the same
@pytest.mark.parametrize("name", ["lsgan", "acgan", "infogan"])
def test_a_shipped_generator_is_as_good_as_is_said(name):
    said = facts(name)["quick_scores"]
    generator = Generator.load(PRETRAINED / f"{name}_mnist.h5")
    found = evaluation.evaluate(generator, 1, said["count"], quick=True)
    # other processors round otherwise, and now and then an image crosses a line
    assert scalars(found) == pytest.approx(scalars(said), rel=0.01, abs=0.003)


def test_shipped_generators_are_found_from_any_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = ["--generator=pretrained/acgan_mnist.h5", "--digit=3", "--seed=1"]
    assert main("acgan", arguments, monkeypatch) == 0
    assert "saved test_outputs/acgan_mnist_digit3_seed1.png" in capsys.readouterr().out
