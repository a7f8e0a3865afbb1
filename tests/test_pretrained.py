"""The generators that are shipped: whole, and as good as is said of them."""

import hashlib
import json

from lib.generator import Generator
from lib.scoring import evaluation
from lib.scoring.table import scalars

import pytest
from helpers import ROOT, main

FACTS = sorted((ROOT / "pretrained").glob("*_mnist.json"))


@pytest.mark.parametrize("path", FACTS, ids=lambda path: path.stem)
def test_a_shipped_generator_is_as_good_as_is_said(path):
    facts = json.loads(path.read_text())
    file = path.with_suffix(".h5")
    assert hashlib.sha256(file.read_bytes()).hexdigest() == facts["sha256"]
    generator = Generator.load(file).model
    said = scalars(facts["quick_scores"])
    count = facts["quick_scores"]["count"]
    found = scalars(evaluation.evaluate(generator, 1, count, quick=True))
    # other processors round otherwise, and now and then an image crosses a line
    assert found == pytest.approx(said, rel=0.01, abs=0.003)


def test_shipped_generators_are_found_from_any_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = ["--generator=pretrained/acgan_mnist.h5", "--digit=3", "--seed=1"]
    assert main("acgan", arguments, monkeypatch) == 0
    assert "saved test_outputs/acgan_mnist_digit3_seed1.png" in capsys.readouterr().out
