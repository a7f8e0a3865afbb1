"""Scores as a table in plain text."""

from lib.scoring.evaluation import Reference, is_mnist, mnist

# Of each column, in the order to be read: the score, its format, and the standard deviation over ten
# draws of 10,000 real training images of MNIST (python3 -m benchmarks.publish --spread).
COLUMNS = {
    "FD": ("frechet_distance", ".2f", 0.024),
    "score": ("classifier_score", ".2f", 0.0065),
    "precision": ("precision", ".3f", 0.0041),
    "coverage": ("coverage", ".3f", 0.0027),
    "recall": ("recall", ".3f", 0.0030),
    "TV": ("total_variation", ".3f", 0.0025),
    "accuracy": ("accuracy", ".3f", 0.0006),
    "GAN-train": ("classification_accuracy_score", ".3f", 0.0012),
    "diversity": ("diversity", ".3f", 0.0016),
}
DETAILS = {
    "share of images": "class_shares",
    "accuracy": "class_accuracy",
    "diversity": "class_diversity",
}
LEGEND = """
FD: Fréchet distance in the classifier's features, not the FID; 0 is best
score: the Inception Score's formula, from 1 to {n}, which is best
precision: share of fakes like real images; read it beside coverage: one good
  image drawn again and again has 1
coverage: share of real images that a fake comes near to
recall: share of real images that lie among the fakes; bad fakes raise it
TV: total variation distance of the shares of each {word} from the data's;
  0 is best
accuracy: how often the {word} is the requested one
GAN-train: accuracy on real images of a classifier that learned from these only
diversity: distance between images of a {word}, as a share of that in the data;
  read it beside accuracy: wrong ones are diverse"""
SPREAD_LEGEND = """
±: standard deviation from seed to seed, of real images; which test images they
  are compared with moves precision more"""
OWN_LEGEND = """
compared with {reference};
  figures read from other data or another classifier can't be compared with these"""
MOST_CLASSES = 30  # in the table; the JSON file has them all


def table(rows: dict[str, dict], reference: Reference | None = None) -> str:
    """Lay scores side by side in plain text, 80 columns wide for two names of up to 16 letters.

    Takes what `evaluate` and `evaluate_real` return, by the name of what was scored.
    """
    reference = reference or mnist()
    own, classes = not is_mnist(reference.train), [*map(str, reference.train.classes)]
    counts = "/".join(sorted({str(result["count"]) for result in rows.values()}))
    first = max(16, *map(len, rows))
    columns = [max(8, len(name)) + 2 for name in rows] + [10]

    def line(name, cells, widths):
        return f"{name:{first}}" + "".join(map(str.rjust, cells, widths))

    lines = [line(f"{counts} images", [*rows, *["±"][own:]], columns)]
    for heading, (key, style, spread) in COLUMNS.items():
        cells = [format(row[key], style) if key in row else "-" for row in rows.values()]
        lines.append(line(heading, cells + [f"{spread:.4f}"][own:], columns))
    for heading, key in DETAILS.items():
        known = {name: row[key] for name, row in rows.items() if key in row}
        for start in range(0, len(classes) if known and len(classes) <= MOST_CLASSES else 0, 10):
            some = slice(start, start + 10)
            lines += ["", line(heading, [name[:5] for name in classes[some]], [6] * 10)]
            for name, values in known.items():
                lines.append(line(name, [f"{value:.3f}" for value in values[some]], [6] * 10))
    legend = LEGEND + (OWN_LEGEND if own else SPREAD_LEGEND)
    legend = legend.format(n=len(classes), word=reference.train.label_word, reference=reference)
    return "\n".join(lines) + "\n" + legend


def scalars(result: dict) -> dict[str, float]:
    """Return those of the scores that are one number and say how good a generator is."""
    return {key: result[key] for key, *_ in COLUMNS.values() if key in result}
