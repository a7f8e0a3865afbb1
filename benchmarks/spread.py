"""How far the scores move by chance: `python3 -m benchmarks.spread`.

Scores ten draws of 10,000 of MNIST's real training images, or with --generator a generator's
images with ten seeds, and prints the mean and the standard deviation of each score. Those of
real images are SPREAD in lib/evaluation.py, which --evaluate prints. What the choice of test
images does to the scores that look at neighbours, the last columns say: the first draw of real
images against the first and against the last 5,000.
"""

from functools import partial
from statistics import mean, stdev

from lib import cli, data, evaluation, flag_types, flags, generator_file, signals

import numpy as np


def by_half() -> list[dict[str, float]]:
    """Scores of 10,000 training images against the first and the last 5,000 test images."""
    x_train, _ = data.load()
    rows = np.random.default_rng(1).choice(len(x_train), 10_000, replace=False)
    fake, _ = evaluation.classify(x_train[rows] / np.float32(255))
    real, _ = evaluation.test_set()
    return [evaluation.neighbour_scores(half, fake) for half in np.split(real, 2)]


def table(found: list[dict], halves: list[dict]) -> str:
    """Markdown: of each score the mean, the standard deviation, and those of the halves."""
    headings = ["", "mean", "±", *["first half", "last half"][: len(halves)]]
    lines = [f"| {' | '.join(headings)} |", "| --- |" + " ---: |" * (len(headings) - 1)]
    for heading, (key, _) in evaluation.COLUMNS.items():
        if key in found[0]:
            values = [result[key] for result in found]
            cells = [mean(values), stdev(values), *(half[key] for half in halves if key in half)]
            lines.append(" | ".join([f"| {heading}", *(f"{cell:.4f}" for cell in cells)]) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = flags.OneLineParser(__doc__)
    add = parser.add_argument
    add("--generator", metavar="FILE.h5", help="score its images (real ones)")
    add("--conditional", action="store_true", help="it is one of acgan's or cgan's")
    add("--seeds", type=flag_types.whole_number(2), default=10, help="how many (%(default)s)")
    args = parser.parse_args()
    with cli.one_line_errors(parser), signals.leaving():
        if args.generator is not None:
            generator = generator_file.load(args.generator, args.conditional)
            score = partial(evaluation.evaluate, generator)
        else:
            score = evaluation.evaluate_real
        found = [score(seed) for seed in range(1, args.seeds + 1)]
        print(table(found, by_half() if args.generator is None else []))


if __name__ == "__main__":
    main()
