"""The chapter's claims in figures: `python3 -m benchmarks.claims`.

Trains the GANs that the chapter compares under equal conditions, with several seeds, scores
them, and writes a table and pictures: batch normalization in the discriminator of DCGAN and
WGAN (Fig. 8.5), DCGAN against LSGAN, CGAN against ACGAN (Fig. 8.11), coverage and digits' shares
along training, WGAN's estimate of the distance, how far grids move, and the sample grids of all
(Fig. 8.4, 8.7 and 8.10). Figures show seed 1.

Each run is the script itself, in a folder of its own. Started again, it goes on where it was
stopped, and lets runs grow when --steps does.
"""

import argparse
import json
import os
import shlex
import sys
from pathlib import Path

from benchmarks import figures, tables
from lib.generator import Generator
from lib.plumbing.files import atomic
from lib.plumbing.tf import tf
from lib.program.flags import OneLineParser, number
from lib.scoring import evaluation
from lib.training import checkpoints
from lib.training.folder import generator_path, processor

ROOT = Path(__file__).parents[1]
RUNS = ("dcgan", "dcgan-batch-norm", "wgan", "wgan-batch-norm", "lsgan", "cgan", "acgan")
CONDITIONAL = ("cgan", "acgan")
SCORE_SEED = 1


def train(label: str, seed: int, args: argparse.Namespace) -> Path:
    """Have a script train `label` as far as asked; return the run's folder."""
    name, *switches = label.split("-", 1)
    place = args.output_dir / f"{label}-seed{seed}"
    folder = place / f"{name}_mnist"
    command = [
        *(sys.executable, f"{ROOT}/{name}-mnist.py", *(f"--{switch}" for switch in switches)),
        *(f"--seed={seed}", f"--output-dir={place}", f"--precision={args.precision}"),
        *(f"--train-steps={args.steps}", f"--save-interval={args.interval}"),
        f"--evaluate-interval={args.interval}",
        *(["--resume"] if checkpoints.prefixes(folder) else []),
    ]
    print(*command[1:], flush=True)
    # os.system leaves Ctrl-C to the script, which then saves the run
    if os.system(shlex.join(command)):
        sys.exit(f"claims: stopped at {label}, seed {seed}; call again to go on")
    return folder


def score(folder: Path, steps: int) -> dict:
    """Return the scores of a run's generator, taken once and kept beside it."""
    path = folder / f"scores_{steps:05d}.json"
    if not path.exists():
        print(f"scoring {folder}", flush=True)
        generator = Generator.load(generator_path(folder))
        with atomic(path) as temporary:
            temporary.write_text(json.dumps(evaluation.evaluate(generator, SCORE_SEED)))
    return json.loads(path.read_text())


def compare(args: argparse.Namespace) -> None:
    """Train, score, and write the table and the figures."""
    folders = {label: [] for label in args.runs}
    for seed in range(1, args.seeds + 1):
        for label, runs in folders.items():
            runs.append(train(label, seed, args))
    found = {"training images": [evaluation.evaluate_real(SCORE_SEED)]}
    found |= {label: [score(run, args.steps) for run in runs] for label, runs in folders.items()}
    first = {label: runs[0] for label, runs in folders.items()}
    critics = {label: run for label, run in first.items() if label.startswith("wgan")}
    conditional = {label: run for label, run in first.items() if label in CONDITIONAL}

    figures.plot_curves(first, args.output_dir / "curves.png")
    figures.plot_grids(first, args.output_dir / "grids.png")
    seeds = "seed 1" if args.seeds == 1 else f"seeds 1 to {args.seeds}"
    conditions = (
        f"{args.steps} steps, batches of 64, {args.precision}, {seeds}, 10,000 images each; "
        f"{os.cpu_count()} cores of {processor()}, TensorFlow {tf.__version__}"
    )
    parts = [conditions, tables.score_table(found)]
    if conditional:
        figures.plot_digits(conditional, args.output_dir / "digits.png")
        parts.append(tables.digit_table(found))
    parts.append(figures.movement_table(first))
    if critics:
        figures.plot_estimates(critics, args.output_dir / "estimates.png")
        parts += [
            f"{label}: {figures.estimate_against_distance(run)}" for label, run in critics.items()
        ]
    text = "\n\n".join(parts)
    (args.output_dir / "claims.md").write_text(text + "\n")
    print(text)


def main() -> None:
    """Read the flags, and compare."""
    parser = OneLineParser(__doc__)
    positive, growing = number(1), number(2)
    add = parser.add_argument
    add("--steps", type=growing, default=40000, help="of each run; may grow later (%(default)s)")
    add("--seeds", type=positive, default=3, help="how many: 1, 2, ... (%(default)s)")
    add("--runs", nargs="+", metavar="RUN", choices=RUNS, default=list(RUNS), help=", ".join(RUNS))
    precisions = "float32", "mixed_bfloat16"
    add("--precision", choices=precisions, default="float32", help="(%(default)s)")
    add("--interval", type=positive, default=500, help="steps a grid and a score (%(default)s)")
    add("--output-dir", type=Path, default=Path("claims"), help="(%(default)s)")
    args = parser.parse_args()
    if args.interval > args.steps:
        parser.error("an --interval beyond --steps gives no pictures")
    compare(args)


if __name__ == "__main__":
    main()
