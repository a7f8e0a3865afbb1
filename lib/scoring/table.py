"""Scores as a table in plain text."""

from lib.scoring import formulas

# How each is printed, in the order in which they are to be read.
COLUMNS = {
    "FD": ("frechet_distance", ".2f"),
    "score": ("mnist_score", ".2f"),
    "precision": ("precision", ".3f"),
    "coverage": ("coverage", ".3f"),
    "recall": ("recall", ".3f"),
    "TV": ("total_variation", ".3f"),
    "accuracy": ("accuracy", ".3f"),
    "GAN-train": ("classification_accuracy_score", ".3f"),
    "diversity": ("diversity", ".3f"),
}
# Standard deviations over ten draws of 10,000 real training images: python3 -m benchmarks.spread
SPREAD = {
    "frechet_distance": 0.024,
    "mnist_score": 0.0065,
    "precision": 0.0041,
    "coverage": 0.0027,
    "recall": 0.0030,
    "total_variation": 0.0025,
    "accuracy": 0.0006,
    "classification_accuracy_score": 0.0012,
    "diversity": 0.0016,
}
DETAILS = {
    "share of images": "digit_shares",
    "accuracy": "digit_accuracy",
    "diversity": "digit_diversity",
}
LEGEND = """
FD: Fréchet distance in an MNIST classifier's features, not the FID; 0 is best
score: MNIST score, from 1 to 10, which is best
precision: share of fakes like real images; read it beside coverage: one good
  digit drawn again and again has 1
coverage: share of real images that a fake comes near to
recall: share of real images that lie among the fakes; bad fakes raise it
TV: total variation distance of the digits' shares from the data's; 0 is best
accuracy: how often the digit is the requested one
GAN-train: accuracy on real images of a classifier that learned from these only
diversity: distance between images of a digit, as a share of that in the data;
  read it beside accuracy: wrong digits are diverse
±: standard deviation from seed to seed, of real images; which test images they
  are compared with moves precision more"""


def table(rows: dict[str, dict]) -> str:
    """Lay scores side by side in plain text, 80 columns wide for two names of up to 16 letters.

    Args:
        rows: what `evaluate` and `evaluate_real` return, by the name of what was scored.
    """
    counts = "/".join(sorted({str(result["count"]) for result in rows.values()}))
    first = max(16, *map(len, rows))
    columns = [max(8, len(name)) + 2 for name in rows] + [10]

    def line(name, cells, widths):
        return f"{name:{first}}" + "".join(map(str.rjust, cells, widths))

    lines = [line(f"{counts} images", [*rows, "±"], columns)]
    for heading, (key, style) in COLUMNS.items():
        found = [format(row[key], style) if key in row else "-" for row in rows.values()]
        lines.append(line(heading, [*found, f"{SPREAD[key]:.4f}"], columns))
    for heading, key in DETAILS.items():
        digits = [line(heading, map(str, range(formulas.DIGITS)), [6] * formulas.DIGITS)]
        for name, result in rows.items():
            if key in result:
                digits.append(
                    line(name, [f"{value:.3f}" for value in result[key]], [6] * formulas.DIGITS)
                )
        if len(digits) > 1:
            lines += ["", *digits]
    return "\n".join(lines) + "\n" + LEGEND


def scalars(result: dict) -> dict[str, float]:
    """Return those of the scores that are one number and say how good a generator is."""
    return {key: result[key] for key, _ in COLUMNS.values() if key in result}
