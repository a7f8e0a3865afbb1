"""Tables in Markdown."""

from collections.abc import Iterable
from statistics import mean, stdev

from lib.scoring.table import COLUMNS

import numpy as np


def markdown(heads: Iterable, rows: Iterable[Iterable], left: int = 1) -> str:
    """Return a table, its first `left` columns aligned left, the others right."""
    heads = [*heads]
    rule = ["---"] * left + ["---:"] * (len(heads) - left)
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in (heads, rule, *rows))


def score_table(found: dict[str, list[dict]]) -> str:
    """Return a row for each model: its scores, mean and standard deviation over its seeds."""

    def cell(runs, key, style):
        values = [run[key] for run in runs if key in run]
        spread = f" ± {stdev(values):{style}}" if len(values) > 1 else ""
        return f"{mean(values):{style}}{spread}" if values else ""

    rows = [
        [label, *(cell(runs, key, style) for key, style, _ in COLUMNS.values())]
        for label, runs in found.items()
    ]
    return markdown(["", *COLUMNS], rows)


def digit_table(found: dict[str, list[dict]]) -> str:
    """Return how often each digit comes out as requested, and how varied it is."""
    rows = []
    for label, runs in found.items():
        for key in "class_accuracy", "class_diversity":
            if key in runs[0]:
                values = np.mean([run[key] for run in runs], axis=0)
                name = f"{label}: {key.removeprefix('class_')}"
                rows.append([name, *(f"{value:.3f}" for value in values)])
    return markdown(["", *range(10)], rows)
