"""How far the scores move by chance: `python3 -m benchmarks.spread`.

Scores ten draws of 10,000 of MNIST's real training images, or with --generator a generator's
images with ten seeds, and prints the mean and the standard deviation of each score. Those of
real images are SPREAD in lib/scoring/table.py, which --evaluate prints. The last columns say what
the choice of test images does to the scores that look at neighbours: the first draw of real images
against the first and the last 5,000.
"""

from functools import partial
from statistics import mean, stdev

from benchmarks.tables import markdown
from lib import data
from lib.program.flags import OneLineParser, whole_number
from lib.scoring import evaluation
from lib.scoring.table import COLUMNS

import numpy as np
from lib.sampling.load import load


def by_half() -> list[dict[str, float]]:
    """Score 10,000 training images against the first and the last 5,000 test images."""
    x_train = data.load().x_train
    rows = np.random.default_rng(1).choice(len(x_train), 10_000, replace=False)
    fake, _ = evaluation.classify(x_train[rows] / np.float32(255))
    real, _ = evaluation.test_set()
    return [evaluation.neighbour_scores(half, fake) for half in np.split(real, 2)]


def table(found: list[dict], halves: list[dict]) -> str:
    """Return in Markdown each score's mean, its standard deviation, and the halves' scores."""
    rows = []
    for heading, (key, _) in COLUMNS.items():
        if key in found[0]:
            values = [result[key] for result in found]
            cells = [mean(values), stdev(values)] + [half[key] for half in halves if key in half]
            rows.append([heading, *(f"{cell:.4f}" for cell in cells)])
    return markdown(["", "mean", "±", *["first half", "last half"][: len(halves)]], rows)


def main() -> None:
    """Score as many seeds as asked, and print the table."""
    parser = OneLineParser(__doc__)
    parser.add_argument("--generator", metavar="FILE", help="score its images (real ones)")
    parser.add_argument("--seeds", type=whole_number(2), default=10, help="how many (%(default)s)")
    args = parser.parse_args()
    score = evaluation.evaluate_real
    if args.generator:
        score = partial(evaluation.evaluate, load(args.generator)[0])
    found = [score(seed) for seed in range(1, args.seeds + 1)]
    print(table(found, [] if args.generator else by_half()))


if __name__ == "__main__":
    main()
