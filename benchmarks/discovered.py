"""Say what an InfoGAN discovered: `python3 -m benchmarks.discovered pretrained/infogan_mnist.h5`.

It draws 10,000 images of random categories and codes, has the scores' classifier say which digits
they are, and prints

- how often each digit comes out of each category, and the categories' **purity**: the share of
  images whose digit is the most frequent of their category;
- how far each code goes with what can be measured of an image: within each category, the rank
  correlation of code and measure; then its mean over the categories, and the lowest and the highest.

Where the run's folder lies beside the generator, the heads Q are read from its newest checkpoint:
how often they recover the category, the rank correlations of code and recovered code, and the
purity of the categories that they find in MNIST's test images (the paper's error is 1 less that).
"""

from functools import partial
from pathlib import Path

from benchmarks.tables import markdown
from lib import data, gan
from lib.generator import Generator
from lib.plumbing.errors import UserError
from lib.plumbing.tf import keras, tf
from lib.program.flags import OneLineParser
from lib.scoring.evaluation import check, classify
from lib.training.checkpoints import prefixes

import numpy as np
from scipy.stats import spearmanr

COUNT, DIGITS = 10_000, 10


def confusion(categories: np.ndarray, digits: np.ndarray) -> np.ndarray:
    """Return how many images of each category, a row, are each digit, a column."""
    counts = np.zeros((categories.max() + 1, DIGITS), int)
    np.add.at(counts, (categories, digits), 1)
    return counts


def purity(counts: np.ndarray) -> float:
    """Return the share of images whose digit is the most frequent of their category."""
    return counts.max(axis=1).sum() / counts.sum()


def shape_measures(images: np.ndarray) -> dict[str, np.ndarray]:
    """Measure the ink, from 0 to 1, of images (N, side, side).

    Returns:
        Arrays (N,): `slant`, how many pixels to the right a row lies for each that it lies higher;
        `width`, the standard deviation of the ink's columns in pixels; both from second moments.
        `stroke`, twice the ink by the length of its outline, which is the width of a long line.
    """
    rows, columns = np.indices(images.shape[1:])
    ink = images.sum(axis=(1, 2))

    def mean(values):
        return (images * values).sum(axis=(1, 2)) / ink

    down = rows - mean(rows)[:, np.newaxis, np.newaxis]
    right = columns - mean(columns)[:, np.newaxis, np.newaxis]
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    outline = np.hypot(*np.gradient(padded, axis=(1, 2))).sum(axis=(1, 2))
    return {
        "slant": -mean(right * down) / mean(down**2),
        "width": np.sqrt(mean(right**2)),
        "stroke": 2 * ink / outline,
    }


def correlations(a: np.ndarray, b: np.ndarray, categories: np.ndarray) -> list[float]:
    """Return Spearman's rank correlation of a and b, (N,), within each category."""
    within = [categories == category for category in np.unique(categories)]
    return [spearmanr(a[rows], b[rows]).statistic for rows in within]


def read_q(path: Path, generator: Generator) -> keras.Model | None:
    """Return the discriminator of the run whose folder lies beside the generator at `path`, or None.

    Its outputs but for the first are those of the heads Q.
    """
    saved = prefixes(path.with_suffix(""))
    if not saved:
        return None
    images = keras.Input(generator.model.output_shape[1:])
    discriminator = gan.discriminator(images, num_labels=generator.num_labels, num_codes=2)
    state = tf.train.Checkpoint(discriminator=discriminator)
    state.restore(saved[0]).expect_partial()  # it holds the generator, too
    return discriminator


def report(path: Path, seed: int) -> str:
    """Draw, measure, and return the tables in Markdown.

    Raises:
        UserError: the file holds no InfoGAN of MNIST.
    """
    generator = Generator.load(path)
    if generator.num_codes != 2:
        raise UserError(f"{path} takes no codes: give an InfoGAN's")
    check(generator, data.load())
    inputs = generator.inputs(COUNT, seed)
    images = generator.draw(inputs)
    _, categories, *codes = inputs
    categories = categories.argmax(axis=1)
    counts = confusion(categories, classify(images)[1].argmax(axis=1))
    shares = counts / counts.sum(axis=1, keepdims=True)
    table = [[c, *(f"{share:.3f}" for share in row)] for c, row in enumerate(shares)]
    told = len(set(shares.argmax(axis=1)))
    pure = f"purity {purity(counts):.3f}; {told} different digits lead a category"
    lines, recovered = [f"{pure}; {COUNT} images, seed {seed}"], []
    if q := read_q(path, generator):
        read = partial(q.predict, batch_size=250, verbose=0)
        _, category, *recovered = read(images)
        right = np.mean(category.argmax(axis=1) == categories)
        lines.append(f"Q recovers the category of {right:.1%} of the images")
        x_test, y_test = data.load_test()
        category = read(x_test / np.float32(255))[1].argmax(axis=1)
        pure = purity(confusion(category, y_test.argmax(axis=1)))
        lines.append(f"purity of the categories that it finds in MNIST's test images: {pure:.3f}")

    rows = []
    for i, code in enumerate(codes):
        measures = {"recovered": recovered[i][:, 0]} if recovered else {}
        for name, values in (measures | shape_measures(images[..., 0])).items():
            each = correlations(code[:, 0], values, categories)
            cells = np.mean(each), min(each), max(each)
            rows.append([f"code {i + 1}", name, *(f"{cell:.2f}" for cell in cells)])
    codes_table = markdown(["", "of the image", "mean", "lowest", "highest"], rows, left=2)
    return "\n\n".join([markdown(["category", *range(DIGITS)], table), *lines, codes_table])


def main() -> None:
    """Read the flags, and print."""
    parser = OneLineParser(__doc__)
    parser.add_argument("generator", type=Path, help="an InfoGAN's .h5 or .keras file")
    parser.add_argument("--seed", type=int, default=1, help="of the images (%(default)s)")
    args = parser.parse_args()
    try:
        print(report(args.generator, args.seed))
    except UserError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
