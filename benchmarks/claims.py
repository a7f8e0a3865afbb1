"""The chapter's claims in figures: `python3 -m benchmarks.claims`.

Trains the GANs that the chapter compares under equal conditions, with several seeds, scores
them, and writes a table and pictures: batch normalization in the discriminator of DCGAN and
WGAN (Fig. 8.5), DCGAN against LSGAN, CGAN against ACGAN (Fig. 8.11), coverage and digits' shares
along training, WGAN's estimate of the distance, how far grids move, and the sample grids of all
(Fig. 8.4, 8.7 and 8.10). Figures show seed 1.

Each run is the script itself, in a folder of its own. Started again, it goes on where it was
stopped, trains nothing twice, and lets runs grow when --steps does.
"""

import argparse
import json
import signal
import sys
import time
from pathlib import Path
from statistics import mean, stdev

from benchmarks import along_training
from benchmarks.along_training import save
from lib import checkpoint, cli, data, evaluation, flag_types, flags, generator_file, signals

import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from lib.files import atomic, reading
from lib.folder import generator_path, sample_grids
from matplotlib.figure import Figure

ROOT = Path(__file__).parents[1]
RUNS = {
    "dcgan": ["dcgan"],
    "dcgan-batch-norm": ["dcgan", "--batch-norm"],
    "wgan": ["wgan"],
    "wgan-batch-norm": ["wgan", "--batch-norm"],
    "lsgan": ["lsgan"],
    "cgan": ["cgan"],
    "acgan": ["acgan"],
}
CONDITIONAL = ("cgan", "acgan")
SCORE_SEED = 1


def train(label: str, seed: int, args: argparse.Namespace) -> Path:
    """Have `label` trained as far as asked, unless it is; returns the run's folder."""
    name, *switches = RUNS[label]
    place = args.output_dir / f"{label}-seed{seed}"
    folder = place / f"{name}_mnist"
    asked = {
        "train_steps": args.steps,
        "precision": args.precision,
        "save_interval": args.interval,
        "evaluate_interval": args.interval,
    }
    facts = read_facts(folder)
    if facts.get("steps") == args.steps and facts["hyperparameters"].items() >= asked.items():
        return folder
    settings = [f"--{key.replace('_', '-')}={value}" for key, value in asked.items()]
    resume = ["--resume"] if checkpoint.found(folder) else []
    if facts and not resume and not generator_path(folder).exists():
        resume = ["--overwrite"]  # killed before its first checkpoint, a run begins anew
    command = [
        *(sys.executable, str(ROOT / f"{name}-mnist.py"), *switches, *settings, *resume),
        *(f"--seed={seed}", f"--output-dir={place}"),
    ]
    print(*command[1:], flush=True)
    process, received = signals.start(command), []

    def hand_on(signum, _frame):
        received.append(signum)
        if signum != signal.SIGINT:  # which a terminal sends to the script, too
            process.send_signal(signum)  # it saves and ends

    with signals.handled_by(hand_on):
        while (status := process.poll()) is None:
            time.sleep(0.1)  # process.wait() may sleep through a signal that follows another
    if status := status or (received and 128 + received[0]):
        if status != 2:  # else the script has said what to do
            print(
                f"claims: stopped at {label}, seed {seed}: call again with the same flags to go "
                "on, or with another --output-dir to begin anew",
                file=sys.stderr,
            )
        sys.exit(status if status > 0 else 128 - status)
    return folder


def read_facts(folder: Path) -> dict:
    """The facts in a run's run.json; none where there is no run.

    Raises:
        UserError: the file is damaged.
    """
    path = folder / "run.json"
    if not path.exists():
        return {}
    advice = "remove it, and resume the run by its script"
    with reading(path, ".json", "the facts of a run", advice):
        facts = json.loads(path.read_text())
        facts["hyperparameters"].items()  # these two raise where it doesn't
        where(facts)
    return facts


def where(facts: dict) -> str:
    """What a run was made on."""
    return f"{facts['machine']['cores']} cores, TensorFlow {facts['versions']['tensorflow']}"


def score(folder: Path, steps: int) -> dict:
    """The scores of a run's generator, taken once and kept beside it.

    Raises:
        UserError: those that were kept are damaged.
    """
    path = folder / f"scores_{steps:05d}.json"
    if not path.exists():
        generator = load(folder)
        print(f"scoring {folder}", flush=True)
        found = evaluation.evaluate(generator, SCORE_SEED)
        with atomic(path) as temporary:
            temporary.write_text(json.dumps(found))
    with reading(path, ".json", "scores", "remove it"):
        found = json.loads(path.read_text())
        if "frechet_distance" not in found:
            raise ValueError("no Fréchet distance")
        table({"": [found]})  # these two raise where it doesn't
        digit_table({"": [found]})
    return found


def load(folder: Path):
    conditional = folder.name.startswith(CONDITIONAL)
    return generator_file.load(generator_path(folder), conditional)


def table(found: dict[str, list[dict]]) -> str:
    """Markdown: a row of each model, mean and standard deviation over its seeds."""
    lines = [
        f"| | {' | '.join(evaluation.COLUMNS)} |",
        "| --- |" + " ---: |" * len(evaluation.COLUMNS),
    ]
    for label, runs in found.items():
        cells = []
        for key, style in evaluation.COLUMNS.values():
            values = [run[key] for run in runs if key in run]
            spread = f" ± {stdev(values):{style}}" if len(values) > 1 else ""
            cells.append(f"{mean(values):{style}}{spread}" if values else "")
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join(lines)


def digit_table(found: dict[str, list[dict]]) -> str:
    """Markdown: how often each digit comes out as requested, and how varied it is."""
    lines = [f"| | {' | '.join(map(str, range(10)))} |", "| --- |" + " ---: |" * 10]
    for label, runs in found.items():
        for key in "digit_accuracy", "digit_diversity":
            if key in runs[0]:
                values = np.mean([run[key] for run in runs], axis=0)
                cells = " | ".join(f"{value:.3f}" for value in values)
                lines.append(f"| {label}: {key.removeprefix('digit_')} | {cells} |")
    return "\n".join(lines)


def plot_grids(folders: dict[str, Path], path: Path, columns: int = 6) -> None:
    """Sample grids along training: a row of each model, the steps below each grid.

    Of a long run early ones stand closer together: most happens there.
    """
    columns = min(columns, *(len(sample_grids(folder)) for folder in folders.values()))
    figure = Figure(figsize=(2.2 * columns, 2.5 * len(folders)), layout="constrained")
    rows = figure.subplots(len(folders), columns, squeeze=False)
    for axes, (label, folder) in zip(rows, folders.items(), strict=True):
        grids = sample_grids(folder)
        spaced = np.geomspace if len(grids) > 2 * columns else np.linspace
        chosen = spaced(1, len(grids), columns).round().astype(int) - 1
        for place, index in zip(axes, chosen, strict=True):
            place.imshow(plt.imread(grids[index]))
            place.set(xticks=[], yticks=[], xlabel=f"{int(grids[index].stem)} steps")
        axes[0].set_ylabel(label)
    save(figure, path)


def plot_digits(folders: dict[str, Path], path: Path, count: int = 5) -> None:
    """Digits 0 to 9 in columns, `count` rows of each model, from equal noise (Fig. 8.11)."""
    noise = data.sample_noise(tf.random.Generator.from_seed(SCORE_SEED), 10 * count, 100)
    labels = tf.one_hot(tf.range(10 * count) % 10, 10)
    figure = Figure(figsize=(4.5 * len(folders), 0.45 * count + 0.4), layout="constrained")
    row = figure.subplots(1, len(folders), squeeze=False)[0]
    for axes, (label, folder) in zip(row, folders.items(), strict=True):
        images = load(folder).predict([noise, labels], verbose=0)
        grid = images.reshape(count, 10, 28, 28).swapaxes(1, 2).reshape(28 * count, 280)
        axes.imshow(grid, cmap="gray", vmin=0, vmax=1)
        axes.set(xticks=14 + 28 * np.arange(10), xticklabels=range(10), yticks=[], title=label)
    save(figure, path)


def main() -> None:
    parser = flags.OneLineParser(__doc__)
    positive = flag_types.whole_number(1)
    add = parser.add_argument
    add(
        "--steps",
        type=flag_types.whole_number(2),
        default=40000,
        help="of each run; may grow later (%(default)s)",
    )
    add("--seeds", type=positive, default=3, help="how many: 1, 2, ... (%(default)s)")
    add("--runs", nargs="+", metavar="RUN", choices=RUNS, default=list(RUNS), help=", ".join(RUNS))
    add(
        "--precision",
        choices=("float32", "mixed_bfloat16"),
        default="float32",
        help="(%(default)s)",
    )
    add("--interval", type=positive, default=500, help="steps a grid and a score (%(default)s)")
    add("--output-dir", type=Path, default=Path("claims"), help="(%(default)s)")
    args = parser.parse_args()
    if args.interval > args.steps:
        parser.error("an --interval beyond --steps gives no pictures")

    with cli.one_line_errors(parser), signals.leaving():
        compare(args)


def compare(args: argparse.Namespace) -> None:
    """Train, score, and write the table and the figures."""
    folders = {label: [] for label in args.runs}
    for seed in range(1, args.seeds + 1):
        for label, runs in folders.items():
            runs.append(train(label, seed, args))
    first = {label: runs[0] for label, runs in folders.items()}
    critics = {label: run for label, run in first.items() if label.startswith("wgan")}
    conditional = {label: run for label, run in first.items() if label in CONDITIONAL}
    # what is damaged is told before scoring takes minutes
    along = [along_training.movement_table(first)]
    for label, run in critics.items():
        along.append(f"{label}: {along_training.estimate_against_distance(run)}")
    along_training.plot_curves(first, args.output_dir / "curves.png")
    plot_grids(first, args.output_dir / "grids.png")
    if critics:
        along_training.plot_estimates(critics, args.output_dir / "estimates.png")
    if conditional:
        plot_digits(conditional, args.output_dir / "digits.png")

    found = {label: [score(run, args.steps) for run in runs] for label, runs in folders.items()}
    found = {"training images": [evaluation.evaluate_real(SCORE_SEED)]} | found
    seeds = "seed 1" if args.seeds == 1 else f"seeds 1 to {args.seeds}"
    conditions = (
        f"{args.steps} steps, batches of 64, {args.precision}, {seeds}, 10,000 images each; "
        f"{where(read_facts(next(iter(first.values()))))}"
    )
    tables = [table(found), *([digit_table(found)] if conditional else [])]
    text = "\n\n".join([conditions, *tables, *along]) + "\n"
    with atomic(args.output_dir / "claims.md") as path:
        path.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
