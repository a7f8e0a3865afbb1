"""Say whether and when WGAN runs lost hold, from their losses alone.

    python3 -m benchmarks.lost_hold pretrained/wgan_mnist_seed1_history.csv wgan_torch/losses.csv

A run **loses hold** at the first step, from 10,000 on, at which the critic's loss outgrows its
past: its mean over the last 50 steps is, without the sign, more than 20 times the median of those
means in the 2,000 steps before, or is not finite.
"""

import argparse
import csv
from typing import NamedTuple

import numpy as np

WINDOW = 50  # steps, whose mean losses are a row of a table
PAST, FIRST, LIMIT = 2_000, 10_000, 20


class Verdict(NamedTuple):
    """What became of a run.

    Attributes:
        lost: the step at which it lost hold; None if it held.
        growth: of the loss there; 0 if it held.
        most, at: the largest growth before, and its step; 0 if the run ended before step 10,000.
    """

    lost: int | None
    growth: float
    most: float
    at: int

    def __str__(self):
        before = f"at most {self.most:.1f} times the median, at step {self.at}"
        if self.lost:
            return f"lost hold at step {self.lost}: {self.growth:.1f} times; before, {before}"
        return f"held: {before}" if self.at else f"ended before step {FIRST}"


def judge(steps: list[int], losses: list[float]) -> Verdict:
    """Find where a run lost hold.

    Args:
        steps: 50, 100, 150, ...
        losses: the critic's at these steps, each a mean over 50 steps.
    """
    sizes = np.nan_to_num(np.abs(losses), nan=1e30, posinf=1e30)
    count = PAST // WINDOW
    most, at = 0.0, 0
    for i in range(count, len(steps)):
        growth = float(sizes[i] / np.median(sizes[i - count : i]))
        if steps[i] >= FIRST and growth > LIMIT:
            return Verdict(steps[i], growth, most, at)
        if steps[i] >= FIRST and growth > most:
            most, at = growth, steps[i]
    return Verdict(None, 0.0, most, at)


def report(tables: dict[str, list]) -> None:
    """Print a line for each run and how many lost hold.

    Args:
        tables: rows by the run's name, which begin with the step and the critic's loss.
    """
    lost = 0
    for name, table in tables.items():
        verdict = judge([int(row[0]) for row in table], [float(row[1]) for row in table])
        print(f"{name}: {verdict}")
        lost += verdict.lost is not None
    print(f"{lost} of {len(tables)} lost hold ({lost / len(tables):.0%})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="+", help="a script's history.csv, or torch_wgan's table")
    tables = {}
    for path in parser.parse_args().files:
        with open(path, newline="") as file:
            for row in csv.DictReader(file):
                name = f"{path}, seed {row['seed']}" if "seed" in row else path
                losses = row["step"], row["discriminator_loss"]
                tables.setdefault(name, []).append(losses)
    report(tables)


if __name__ == "__main__":
    main()
