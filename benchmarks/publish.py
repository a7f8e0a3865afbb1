"""Put the generators of finished runs into pretrained/: `python3 -m benchmarks.publish RUN ...`.

Of each run's folder it takes the generator, the history, and the facts: how and where it was
trained. It adds the SHA-256 and the scores with five seeds of the noise, and writes the tables of
pretrained/README.md anew. Look at what it changed by git.

    python3 -m benchmarks.publish --spread [FILE]

prints mean and standard deviation of each score over ten draws of 10,000 of MNIST's real training
images (COLUMNS in lib/scoring/table.py), or of a generator's. The last columns say what the choice of
test images does to scores of neighbours: the first draw against the first and the last 5,000.
"""

import argparse
import hashlib
import json
import re
import shutil
from pathlib import Path
from statistics import mean, stdev

from benchmarks.tables import markdown, score_table
from lib import data
from lib.generator import Generator
from lib.pictures import scaled
from lib.program.flags import OneLineParser
from lib.scoring import evaluation
from lib.scoring.table import COLUMNS
from lib.training.folder import generator_path

import numpy as np

PRETRAINED = Path(__file__).parents[1] / "pretrained"
SEEDS, SPREAD_SEEDS = range(1, 6), range(1, 11)
QUICK_COUNT, QUICK_SEED = 2000, 1  # what a test scores again


def publish(run: Path) -> None:
    """Copy the generator and the history of a finished run; write its facts and scores."""
    print(f"scoring {run}", flush=True)
    generator = Generator.load(generator_path(run))
    facts = json.loads((run / "run.json").read_text()) | {
        "sha256": hashlib.sha256(generator_path(run).read_bytes()).hexdigest(),
        "scores": [evaluation.evaluate(generator, seed) for seed in SEEDS],
        "quick_scores": evaluation.evaluate(generator, QUICK_SEED, count=QUICK_COUNT, quick=True),
    }
    shutil.copy(generator_path(run), PRETRAINED)
    shutil.copy(run / "history.csv", PRETRAINED / f"{run.name}_history.csv")
    (PRETRAINED / f"{run.name}.json").write_text(json.dumps(facts, indent=2) + "\n")


def training_row(name: str, facts: dict) -> list:
    """Return how and where a generator was trained."""
    hours = facts["steps"] / facts["steps_per_second"] / 3600
    given, machine = facts["parameters"], facts["machine"]
    where = f"{machine['cores']} cores, {machine['processor']}"
    where += f", TensorFlow {facts['versions']['tensorflow']}"
    how = [facts["steps"], given["seed"], given["precision"], f"{hours:.1f}"]
    return [f"`{name}.h5`", *how, where, f"`{facts['sha256']}`"]


def write_readme() -> None:
    """Replace the tables of pretrained/README.md by those of all generators that lie there."""
    found = {path.stem: json.loads(path.read_text()) for path in sorted(PRETRAINED.glob("*.json"))}
    heads = "generator", "steps", "seed", "precision", "hours", "where", "SHA-256"
    training = markdown(heads, [training_row(name, facts) for name, facts in found.items()])
    scores = {"training images": [evaluation.evaluate_real(seed) for seed in SEEDS]}
    scores |= {name: facts["scores"] for name, facts in found.items()}
    readme = PRETRAINED / "README.md"
    text = readme.read_text()
    for table in training, score_table(scores):
        head, _ = table.split("\n", 1)
        text = re.sub(rf"{re.escape(head)}\n(\|.*\n)*", lambda _, new=table: f"{new}\n", text)
    readme.write_text(text)


def spread(path: str) -> str:
    """Return in Markdown how far scores move: a generator's, or real images' without a path."""
    if path:
        generator = Generator.load(path)
        found, halves = [evaluation.evaluate(generator, seed) for seed in SPREAD_SEEDS], []
    else:
        found = [evaluation.evaluate_real(seed) for seed in SPREAD_SEEDS]
        x_train = data.load().x_train
        rows = np.random.default_rng(1).choice(len(x_train), 10_000, replace=False)
        fake, _ = evaluation.classify(scaled(x_train[rows]))
        real = evaluation.mnist().features
        halves = [evaluation.neighbour_scores(half, fake) for half in np.split(real, 2)]
    rows = []
    for heading, (key, *_) in COLUMNS.items():
        if key in found[0]:
            values = [scores[key] for scores in found]
            cells = [mean(values), stdev(values), *(half[key] for half in halves if key in half)]
            rows.append([heading, *(f"{cell:.4f}" for cell in cells)])
    return markdown(["", "mean", "±", "first half", "last half"][: 3 + len(halves)], rows)


def finished_run(text: str) -> Path:
    """Convert, as an argparse type, the path of a finished run's folder."""
    run = Path(text).resolve()
    facts = run / "run.json"
    if not facts.exists() or "steps_per_second" not in json.loads(facts.read_text()):
        raise argparse.ArgumentTypeError(f"no finished run lies in {run}")
    return run


def main() -> None:
    """Publish the runs of the command line, or print how far scores move."""
    parser = OneLineParser(__doc__)
    add = parser.add_argument
    add("runs", nargs="*", metavar="RUN", type=finished_run, help="a finished run's folder")
    add(
        "--spread",
        nargs="?",
        const="",
        metavar="FILE",
        help="of a generator's scores (real images')",
    )
    args = parser.parse_args()
    if args.spread is not None:
        print(spread(args.spread))
        return
    for run in args.runs:
        publish(run)
    write_readme()


if __name__ == "__main__":
    main()
