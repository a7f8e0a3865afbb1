"""Put the generators of finished runs into pretrained/: `python3 -m benchmarks.publish RUN ...`.

Each run's folder brings its generator, its history, and the facts that its README lists: how and
where it was trained, its SHA-256, and its scores, mean and standard deviation over five seeds of
the noise.
"""

import hashlib
import json
from contextlib import ExitStack
from pathlib import Path

from benchmarks.along_training import scored_rows
from benchmarks.claims import load, table
from benchmarks.speed import GANS
from lib import cli, evaluation, flags, folder, signals

from lib.errors import UserError
from lib.files import atomic, entries, reading, temporary_beside, write
from lib.flag_types import absolute_path

PRETRAINED = Path(__file__).parents[1] / "pretrained"
NAMES = [f"{name}_mnist" for name in GANS]
SEEDS = range(1, 6)
QUICK_COUNT, QUICK_SEED = 2000, 1  # what a test scores again
README = """# Trained generators

The generators of 40,000 steps that [improved GANs on MNIST](../README.md) ships; from the folder
of the scripts:

    python3 acgan-mnist.py --generator=pretrained/acgan_mnist.h5 --digit=3

{training}

All were trained by `python3 -m benchmarks.claims --precision=mixed_bfloat16 --interval=1000`, all
other flags by default. Hours are of training alone, beside other work on the same machine.
`<name>_history.csv` is the run's history; ACGAN's has scores of eleven steps alone, taken in float32
of the generators of those steps after the run.

The scores ([docs/scores.md](../docs/scores.md)) of 10,000 images, mean and standard deviation over
{seeds} seeds of the noise; the training images' over as many draws:

{scores}

`mnist_classifier.weights.h5` is the classifier that the scores are read from; `python3 -m
lib.classifier` trains it.

Both tables, the files and `<name>.json`, which has all of it in numbers, are written by `python3 -m
benchmarks.publish RUN ...`.
"""


def score(run: Path, facts: dict, generator) -> dict[str, bytes]:
    """What is published of a finished run, by name: generator, history, facts and scores."""
    source = folder.generator_path(run)
    content, history = source.read_bytes(), (run / "history.csv").read_bytes()
    print(f"scoring {source}", flush=True)
    facts["machine"].setdefault("processor", folder.processor())  # old runs didn't note it
    facts |= {
        "sha256": hashlib.sha256(content).hexdigest(),
        "scores": [evaluation.evaluate(generator, seed) for seed in SEEDS],
        "quick_scores": evaluation.evaluate(generator, QUICK_SEED, QUICK_COUNT, quick=True),
    }
    return {
        source.name: content,
        f"{run.name}_history.csv": history,
        f"{run.name}.json": (json.dumps(facts, indent=2) + "\n").encode(),
    }


def read_facts(path: Path) -> dict:
    """The facts of a finished run.

    Raises:
        UserError: the file is missing, damaged, or of a run that hasn't ended.
    """
    with reading(path, ".json", "the facts of a finished run"):
        facts = json.loads(path.read_text())
        training_row(path.stem, facts)
    return facts


def training_row(name: str, facts: dict) -> str:
    """Markdown: how and where a generator was trained."""
    hours = facts["steps"] / facts["steps_per_second"] / 3600
    given, machine = facts["hyperparameters"], facts["machine"]
    return (
        f"| `{name}.h5` | {facts['steps']} | {given['seed']} | {given['precision']} "
        f"| {hours:.1f} | {machine['cores']} cores, {machine.get('processor')}, TensorFlow "
        f"{facts['versions']['tensorflow']} | `{facts.get('sha256')}` |"
    )


def published() -> dict[str, dict]:
    """The facts of all generators that lie in pretrained/, by name.

    Raises:
        UserError: some are damaged.
    """
    found = {}
    for path in sorted(path for path in entries(PRETRAINED) if path.suffix == ".json"):
        found[path.stem] = read_facts(path)
        with reading(path, ".json", "scores"):
            table({path.stem: found[path.stem]["scores"]})
    return found


def write_readme(found: dict[str, dict], real: list[dict]) -> None:
    """Write the tables of published generators."""
    training = ["| generator | steps | seed | precision | hours | where | SHA-256 |"]
    training.append("| --- | ---: | ---: | --- | ---: | --- | --- |")
    training += [training_row(name, facts) for name, facts in found.items()]
    scores = {"training images": real} | {name: facts["scores"] for name, facts in found.items()}
    text = README.format(training="\n".join(training), scores=table(scores), seeds=len(SEEDS))
    write(PRETRAINED / "README.md", text.encode())


def publish(runs: list[Path]) -> None:
    """Score the runs in these folders, and write what is published of them, or nothing."""
    # what is damaged or may not be written is told before scoring takes minutes
    published()
    ready, files = [], {}
    for run in runs:
        if run.name not in NAMES:
            raise UserError(f"{run.name} is none of {', '.join(NAMES)}: give a run that is")
        if run.name in [other.name for other, *_ in ready]:
            raise UserError(f"two runs are named {run.name}: give one of them")
        facts = read_facts(run / "run.json")
        if facts.get("script", run.name) != run.name:  # old runs didn't note it
            raise UserError(f"{run} is a run of {facts['script']}: give it that name")
        scored_rows(run)
        ready.append((run, facts, load(run)))
    PRETRAINED.mkdir(exist_ok=True)
    with temporary_beside(PRETRAINED / "README.md") as temporary:
        temporary.touch()
    for finished in ready:
        files |= score(*finished)
    real = [evaluation.evaluate_real(seed) for seed in SEEDS]
    with signals.handled_by(lambda *_: None):  # all or nothing: a signal comes too late
        with ExitStack() as whole:
            for name, content in files.items():
                whole.enter_context(atomic(PRETRAINED / name)).write_bytes(content)
        write_readme(published(), real)


def main() -> None:
    parser = flags.OneLineParser(__doc__)
    parser.add_argument(
        "runs", nargs="*", metavar="RUN", type=absolute_path, help="folder of a run"
    )
    args = parser.parse_args()
    with cli.one_line_errors(parser), signals.leaving():
        publish([*map(Path, args.runs)])


if __name__ == "__main__":
    main()
