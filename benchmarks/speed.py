"""How fast the scripts train, against the chapter's way and PyTorch: `make bench`.

Every contender is a process of its own. They take turns, in alternating order, so that all
see the same machine; figures are medians over the rounds, ratios medians of the ratios
within a round.
"""

import argparse
import os
import platform
import sys
import time
from importlib.metadata import version
from importlib.util import find_spec
from statistics import median

from benchmarks import contenders, flops
from benchmarks.tables import markdown
from lib.program.flags import OneLineParser, whole_number
from lib.program.main import has_bfloat16
from lib.training.folder import processor

CHAPTER = ("dcgan", "cgan", "wgan", "lsgan", "acgan")  # has listings of these, for Keras 2
GANS = (*CHAPTER, "wgan-gp", "infogan")
TORCH_GANS = ("wgan", "lsgan", "wgan-gp", "infogan")
PRECISIONS = ("float32", "mixed_bfloat16") if has_bfloat16() else ("float32",)
PACKAGES = ("tensorflow", "keras", "tf_keras", "numpy", "torch")
PRODUCT = 2 * contenders.MATRIX_SIDE**3  # operations of a product of two matrices
TURN_SECONDS = 1.0


class Racer(contenders.Contender):
    """A contender that is past its first step, and takes turns.

    Attributes:
        first: seconds from the start of the process to its first finished step.
        seconds: of a step, one figure a turn.
        memory: its peak in GB, known once it is closed.
    """

    def __init__(self, *words):
        started = time.perf_counter()
        super().__init__(*words)
        self.answer()
        self.first = time.perf_counter() - started
        self.seconds = []
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
    for number in range(rounds):
        for contender in list(field.values())[:: 1 if number % 2 else -1]:
            contender.turn()
    for contender in field.values():
        contender.memory = contender.close()
    return field


def ratio(one: Racer, other: Racer) -> float:
    """Return how many times as long `one` takes."""
    return median(a / b for a, b in zip(one.seconds, other.seconds, strict=True))


def main_rows(name: str, batch_size: int, rounds: int) -> list[list]:
    """Return rows of one GAN: who, ms a step, images a second, ratios, share of the peak, ..."""
    entries = {f"matmul, {precision}": ("matmul", precision) for precision in PRECISIONS}
    if name in CHAPTER:
        entries["Keras 2, the chapter's way"] = ("keras2_listing", name, batch_size)
    for precision in PRECISIONS:
        entries[f"ours, {precision}"] = ("ours", name, precision, batch_size)
    if name in TORCH_GANS and find_spec("torch"):
        for precision in PRECISIONS:
            for variant in ("eager", "channels_last", "compiled"):
                label = f"PyTorch {variant}, {precision}"
                entries[label] = ("torch", name, precision, batch_size, variant)
    field = race(entries, rounds)
    peaks = [field.pop(f"matmul, {precision}") for precision in PRECISIONS]
    ours = [field[f"ours, {precision}"] for precision in PRECISIONS]
    operations = flops.of_step(name, batch_size)
    speeds = [
        f"{PRODUCT / median(peak.seconds) / 1e9:.0f} GFLOP/s in {precision}"
        for precision, peak in zip(PRECISIONS, peaks, strict=True)
    ]
    print(f"{name}: {operations / 1e9:.1f} GFLOP a step; matmul {', '.join(speeds)}", flush=True)
    # The fastest PyTorch in each precision stands for it.
    for precision in PRECISIONS:
        torches = [label for label in field if "PyTorch" in label and precision in label]
        torches.sort(key=lambda label: median(field[label].seconds))
        for label in torches[1:]:
            print(f"  {label}: {1e3 * median(field.pop(label).seconds):.0f} ms")

    images = batch_size * (5 if name.startswith("wgan") else 1)
    rows = []
    for label, contender in field.items():
        seconds = median(contender.seconds)
        share = operations / PRODUCT / ratio(contender, peaks["bfloat16" in label])
        ratios = [f"{ratio(contender, own):.2f}" for own in ours]
        speed = [f"{1e3 * seconds:.0f}", f"{images / seconds:.0f}"]
        costs = [f"{contender.first:.1f}", f"{contender.memory:.2f}"]
        rows.append([name, label, *speed, *ratios, f"{share:.0%}", *costs])
    return rows


def growth_row(name: str, sizes: list[int], rounds: int) -> list[str]:
    """Return a row of one GAN: ms a step at each batch size, and how long the chapter's way takes.

    Where the chapter has no listing, its cells are empty.
    """
    cells = [name]
    for size in sizes:
        entries = {"ours": ("ours", name, "float32", size)}
        if size == sizes[0] and name in CHAPTER:
            entries["chapter"] = ("keras2_listing", name, size)
        field = race(entries, rounds)
        cells += [f"{1e3 * median(racer.seconds):.1f}" for racer in field.values()]
        if "chapter" in field:
            cells.append(f"{ratio(field['chapter'], field['ours']):.2f}")
        elif size == sizes[0]:
            cells += ["", ""]
    return cells


def machine() -> str:
    """Return the machine, the versions and the seed."""
    packages = [name for name in PACKAGES if find_spec(name)]
    versions = [f"{name} {version(name)}" for name in packages]
    return (
        f"{os.cpu_count()} cores of {processor()}, {platform.system()}, "
        f"Python {platform.python_version()}, {', '.join(versions)}, seed {contenders.SEED}"
    )


def compare(args: argparse.Namespace) -> None:
    """Measure, and print the tables."""
    print(f"{machine()}, {args.rounds} rounds")
    if not find_spec("torch"):
        print("PyTorch is left out: pip install torch==2.13.0 brings it in")
    rows = [row for name in args.gans for row in main_rows(name, args.batch_size, args.rounds)]
    heads = ["GAN", "contender", "ms a step", "real images a second"]
    heads += [f"time to ours, {precision}" for precision in PRECISIONS]
    heads += ["share of matmul's speed", "first step, s", "memory, GB"]
    print(f"\nBatches of {args.batch_size}:\n\n{markdown(heads, rows, left=2)}")
    smallest, *larger = sizes = sorted({*args.sizes})
    heads = ["GAN", f"batch {smallest}", f"Keras 2, batch {smallest}", "its time to ours"]
    heads += [f"batch {size}" for size in larger]
    rows = [growth_row(name, sizes, args.rounds) for name in args.gans]
    print("\nMilliseconds a step as the batch grows, ours in float32:\n")
    print(markdown(heads, rows))


def main() -> None:
    """Read the flags, and compare."""
    parser = OneLineParser(__doc__)
    positive, size = whole_number(1), whole_number(1, 4096)
    add = parser.add_argument
    add("--gans", nargs="+", choices=GANS, default=GANS)
    add("--batch-size", type=size, default=64, help="of the main table (64)")
    sizes = {"type": size, "default": [1, 64, 512]}
    add("--sizes", nargs="+", **sizes, help="batches of the growth table")
    add("--rounds", type=positive, default=7, help="turns of each contender (7)")
    compare(parser.parse_args())


if __name__ == "__main__":
    main()
