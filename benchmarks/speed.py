"""How fast the scripts train, against the chapter's way and PyTorch: `make bench`.

Every contender is a process of its own. They take turns, in alternating order, so that all
see the same machine; figures are medians over the rounds, ratios medians of the ratios
within a round.
"""

import os
import platform
import sys
import time
from importlib.metadata import version
from importlib.util import find_spec
from statistics import median

from benchmarks import contenders, flops
from benchmarks.tables import markdown
from lib.program.flags import OneLineParser, number
from lib.program.main import has_bfloat16
from lib.training.folder import processor

CHAPTER = ("dcgan", "cgan", "wgan", "lsgan", "acgan")  # has listings of these, for Keras 2
GANS = (*CHAPTER, "wgan-gp", "infogan")
PRECISIONS = ("float32", "mixed_bfloat16") if has_bfloat16() else ("float32",)
PACKAGES = ("tensorflow", "keras", "tf_keras", "numpy", "torch")
PRODUCT = 2 * contenders.MATRIX_SIDE**3  # operations of a product of two matrices
TURN_SECONDS = 1.0


class Racer(contenders.Contender):
    """A contender that is past its first step, and takes turns."""

    def __init__(self, *words):
        started = time.perf_counter()
        super().__init__(*words)
        self.answer()
        self.first = time.perf_counter() - started  # seconds to the end of the first step
        self.seconds = []  # of a step, one figure a turn
        self.ask(2)  # past what is made once
        self.steps = max(1, round(TURN_SECONDS / float(self.answer())))

    def turn(self) -> None:
        """Take a second's steps."""
        self.ask(self.steps)
        self.seconds.append(float(self.answer()))


def race(entries: dict[str, tuple], rounds: int) -> dict[str, Racer]:
    """Start the contenders one after the other, then let them take turns."""
    field = {}
    for label, words in entries.items():
        print(f"  starting {label}", file=sys.stderr)
        field[label] = Racer(*words)
    for turn in range(rounds):
        for contender in list(field.values())[:: 1 if turn % 2 else -1]:
            contender.turn()
    contenders.close(field.values())
    return field


def ratio(one: Racer, other: Racer) -> float:
    """Return how many times as long `one` takes."""
    return median(a / b for a, b in zip(one.seconds, other.seconds, strict=True))


def rows(name: str, batch_size: int, rounds: int) -> list[list]:
    """Return rows of one GAN: who, ms a step, ratio to ours, share of the peak, first step."""
    entries = {f"matmul, {precision}": ("matmul", precision) for precision in PRECISIONS}
    if name in CHAPTER:
        entries["Keras 2"] = ("keras2_listing", name, batch_size)
    for precision in PRECISIONS:
        entries[f"ours, {precision}"] = ("ours", name, precision, batch_size)
    for precision in PRECISIONS if find_spec("torch") else ():
        for variant in "eager", "compiled":
            words = ("torch", name, precision, batch_size, variant)
            entries[f"PyTorch {variant}, {precision}"] = words
    field = race(entries, rounds)
    operations = flops.of_step(name, batch_size)
    peaks = [field.pop(f"matmul, {precision}") for precision in PRECISIONS]
    result = []
    for label, contender in field.items():
        seconds = median(contender.seconds)
        share = operations / PRODUCT / ratio(contender, peaks["bfloat16" in label])
        to_ours = f"{ratio(contender, field['ours, float32']):.2f}"
        cells = [f"{1e3 * seconds:.4g}", to_ours, f"{share:.0%}", f"{contender.first:.1f}"]
        result.append([name, label, *cells])
    return result


def machine() -> str:
    versions = [f"{name} {version(name)}" for name in PACKAGES if find_spec(name)]
    return (
        f"{os.cpu_count()} cores of {processor()}, {platform.system()}, "
        f"Python {platform.python_version()}, {', '.join(versions)}, seed {contenders.SEED}"
    )


def main() -> None:
    """Read the flags, measure, and print the table."""
    parser = OneLineParser(__doc__)
    add = parser.add_argument
    add("--gans", nargs="+", choices=GANS, default=GANS)
    add("--batch-size", type=number(1, 4096), default=64, help="64")
    add("--rounds", type=number(1), default=7, help="turns of each contender (7)")
    args = parser.parse_args()
    print(f"{machine()}, {args.rounds} rounds, batches of {args.batch_size}")
    if not find_spec("torch"):
        print("PyTorch is left out: pip install torch==2.13.0 brings it in")
    found = [row for name in args.gans for row in rows(name, args.batch_size, args.rounds)]
    heads = ["GAN", "contender", "ms a step", "time to ours, float32", "share of matmul's speed"]
    print(f"\n{markdown([*heads, 'first step, s'], found, left=2)}")


if __name__ == "__main__":
    main()
