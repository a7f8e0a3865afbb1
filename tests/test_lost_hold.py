"""When a WGAN run lost hold, by its losses."""

import csv
import sys

from benchmarks import lost_hold

import numpy as np
import pytest
from helpers import ROOT

STEPS = list(range(50, 15001, 50))


def run(peaks):
    losses = np.full(len(STEPS), -0.01)
    for step, loss in peaks.items():
        losses[STEPS.index(step)] = loss
    return lost_hold.judge(STEPS, losses)


def test_the_run_that_lost_hold_is_found():
    with open(ROOT / "pretrained" / "wgan_mnist_seed1_history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    steps, losses = ([float(row[key]) for row in rows] for key in ("step", "discriminator_loss"))
    verdict = lost_hold.judge(steps, losses)
    assert verdict.lost == 39400
    assert verdict.most < 14  # nothing before it comes near the limit of 20


@pytest.mark.parametrize(
    "peaks, lost, most",
    [
        ({}, None, 1),
        ({12000: -0.19, 12050: 0.15}, None, 19),
        ({9950: -9}, None, 1),
        ({12000: 0.21, 14000: -9}, 12000, 1),
        ({10000: 0.21}, 10000, 0),
        ({12000: float("nan")}, 12000, 1),
    ],
)
def test_growth_beyond_twenty_times_the_median(peaks, lost, most):
    verdict = run(peaks)
    assert (verdict.lost, verdict.most) == (lost, pytest.approx(most))


def test_a_run_may_be_too_short_to_say():
    assert str(lost_hold.judge(STEPS[:100], [0.1] * 100)) == "ended before step 10000"


def test_every_seed_of_a_table_is_judged(tmp_path, monkeypatch, capsys):
    path = tmp_path / "losses.csv"
    rows = [f"{seed},{step},{seed if step > 12000 else 0.1}" for step in STEPS for seed in (1, 3)]
    path.write_text("\n".join(["seed,step,discriminator_loss", *rows]))
    monkeypatch.setattr(sys, "argv", ["lost_hold", str(path)])
    lost_hold.main()
    first, second, share = capsys.readouterr().out.splitlines()
    assert first == f"{path}, seed 1: held: at most 10.0 times the median, at step 12050"
    assert second.startswith(f"{path}, seed 3: lost hold at step 12050: 30.0 times; before, ")
    assert share == "1 of 2 lost hold (50%)"
