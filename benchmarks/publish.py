"""Put the generators of finished runs into pretrained/: `python3 -m benchmarks.publish RUN ...`.

Of each run's folder it takes the generator, the history, and the facts: how and where it was
trained. It adds the SHA-256 and the scores with five seeds of the noise, and writes the tables of
pretrained/README.md anew. Look at what it changed by git.
"""

import argparse
import hashlib
import json
import re
import shutil
from pathlib import Path

from benchmarks.tables import markdown, score_table
from lib.program.flags import OneLineParser
from lib.scoring import evaluation
from lib.training.folder import generator_path

from lib.sampling.load import load

PRETRAINED = Path(__file__).parents[1] / "pretrained"
SEEDS = range(1, 6)
QUICK_COUNT, QUICK_SEED = 2000, 1  # what a test scores again


def publish(run: Path) -> None:
    """Copy the generator and the history of a finished run; write its facts and scores."""
    print(f"scoring {run}", flush=True)
    generator, _ = load(generator_path(run))
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


def finished_run(text: str) -> Path:
    """Convert, as an argparse type, the path of a finished run's folder."""
    run = Path(text).resolve()
    facts = run / "run.json"
    if not facts.exists() or "steps_per_second" not in json.loads(facts.read_text()):
        raise argparse.ArgumentTypeError(f"no finished run lies in {run}")
    return run


def main() -> None:
    """Publish the runs of the command line."""
    parser = OneLineParser(__doc__)
    parser.add_argument("runs", nargs="*", metavar="RUN", type=finished_run, help="its folder")
    for run in parser.parse_args().runs:
        publish(run)
    write_readme()


if __name__ == "__main__":
    main()
