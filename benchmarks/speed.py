"""How fast the scripts train, against the chapter's way and PyTorch: `make bench`.

Every contender is a process of its own. They take turns, in alternating order, so that all
see the same machine; figures are medians over the rounds, ratios medians of the ratios
within a round.
"""

import argparse
import os
import platform
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from statistics import median

from benchmarks import contenders, flops
from lib import cli, flag_types, flags, folder, signals

GANS = ("dcgan", "cgan", "wgan", "lsgan", "acgan")
PRECISIONS = ("float32", "mixed_bfloat16")
TURN_SECONDS = 1.0


class Contender:
    """A process of benchmarks.contenders, started and past its first step.

    Attributes:
        first: seconds from the start of the process to its first finished step.
        seconds: of a step, one figure a turn.
        memory: its peak in GB, known once it is closed.
    """

    def __init__(self, *words):
        command = [sys.executable, "-m", "benchmarks.contenders", *map(str, words)]
        started = time.perf_counter()
        self.process = signals.start(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answer()
        self.first = time.perf_counter() - started
        self.seconds = []
        self.steps = max(1, round(TURN_SECONDS / self._step(2)))  # past what is made once

    def _answer(self) -> str:
        line = self.process.stdout.readline().strip()
        if not line:
            sys.exit(f"failed: {' '.join(self.process.args)}")
        return line

    def _step(self, steps: int) -> float:
        print(steps, file=self.process.stdin, flush=True)
        return float(self._answer())

    def turn(self) -> None:
        self.seconds.append(self._step(self.steps))

    def close(self) -> None:
        self.process.stdin.close()
        self.memory = float(self._answer())
        self.process.wait()


def race(entries: dict[str, tuple], rounds: int) -> dict[str, Contender]:
    """Start the contenders one after the other, then let them take turns."""
    field = {}
    for label, words in entries.items():
        print(f"  starting {label}", file=sys.stderr)
        field[label] = Contender(*words)
    for number in range(rounds):
        for contender in list(field.values())[:: 1 if number % 2 else -1]:
            contender.turn()
    for contender in field.values():
        contender.close()
    return field


def ratio(one: Contender, other: Contender) -> float:
    """How many times as long `one` takes."""
    return median(a / b for a, b in zip(one.seconds, other.seconds, strict=True))


def share(contender: Contender, operations: int, peak: Contender) -> float:
    """The share of the speed of a matrix product."""
    product = 2 * contenders.MATRIX_SIDE**3
    return operations / product / ratio(contender, peak)


def main_table(name: str, batch_size: int, rounds: int) -> list[str]:
    """Rows of one GAN: who, ms a step, images a second, ratios, share of the peak, ..."""
    entries = {
        "matmul float32": ("matmul", "float32"),
        "matmul bfloat16": ("matmul", "mixed_bfloat16"),
        "Keras 2, the chapter's way": ("keras2", name, "float32", batch_size),
    }
    for precision in PRECISIONS:
        entries[f"ours, {precision}"] = ("ours", name, precision, batch_size)
    if name in ("wgan", "lsgan") and find_spec("torch"):
        for precision in PRECISIONS:
            for variant in ("eager", "channels_last", "compiled"):
                label = f"PyTorch {variant}, {precision}"
                entries[label] = ("torch", name, precision, batch_size, variant)
    field = race(entries, rounds)
    peaks = [field.pop(f"matmul {dtype}") for dtype in ("float32", "bfloat16")]
    ours = [field[f"ours, {precision}"] for precision in PRECISIONS]
    operations = flops.of_step(name, batch_size)
    speeds = [2 * contenders.MATRIX_SIDE**3 / median(peak.seconds) / 1e9 for peak in peaks]
    print(
        f"{name}: {operations / 1e9:.1f} GFLOP a step; "
        f"matmul {speeds[0]:.0f} GFLOP/s in float32, {speeds[1]:.0f} in bfloat16",
        flush=True,
    )
    # The fastest PyTorch in each precision stands for it.
    for precision in PRECISIONS:
        torches = [label for label in field if "PyTorch" in label and precision in label]
        torches.sort(key=lambda label: median(field[label].seconds))
        for label in torches[1:]:
            print(f"  {label}: {1e3 * median(field.pop(label).seconds):.0f} ms")

    images = batch_size * (5 if name == "wgan" else 1)
    rows = []
    for label, contender in field.items():
        seconds = median(contender.seconds)
        peak = peaks["bfloat16" in label]
        rows.append(
            f"| {name} | {label} | {1e3 * seconds:.0f} | {images / seconds:.0f} "
            f"| {ratio(contender, ours[0]):.2f} | {ratio(contender, ours[1]):.2f} "
            f"| {share(contender, operations, peak):.0%} "
            f"| {contender.first:.1f} | {contender.memory:.2f} |"
        )
    return rows


def growth_row(name: str, sizes: list[int], rounds: int) -> str:
    """A row of one GAN: ms a step at each batch size, and how long the chapter's way takes."""
    cells = []
    for size in sizes:
        entries = {"ours": ("ours", name, "float32", size)}
        if size == sizes[0]:
            entries["chapter"] = ("keras2", name, "float32", size)
        field = race(entries, rounds)
        cells.append(f"{1e3 * median(field['ours'].seconds):.1f}")
        if "chapter" in field:
            chapter = field["chapter"]
            cells.append(f"{1e3 * median(chapter.seconds):.1f}")
            cells.append(f"{ratio(chapter, field['ours']):.2f}")
    return f"| {name} | {' | '.join(cells)} |"


def machine() -> str:
    """The machine, the versions and the seed."""
    versions = []
    for package in ("tensorflow", "keras", "tf_keras", "numpy", "torch"):
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            versions.append(f"no {package}")
    return (
        f"{os.cpu_count()} cores of {folder.processor()}, "
        f"{platform.system()}, Python {platform.python_version()}, {', '.join(versions)}, "
        f"seed {contenders.SEED}"
    )


def main() -> None:
    parser = flags.OneLineParser(__doc__)
    parser.add_argument("--gans", nargs="+", choices=GANS, default=GANS)
    positive, size = flag_types.whole_number(1), flag_types.whole_number(1, 4096)
    parser.add_argument("--batch-size", type=size, default=64, help="of the main table (64)")
    parser.add_argument(
        "--sizes",
        nargs="+",
        type=size,
        default=[1, 64, 512],
        help="batches of the growth table",
    )
    parser.add_argument("--rounds", type=positive, default=7, help="turns of each contender (7)")
    args = parser.parse_args()
    with cli.one_line_errors(parser), signals.leaving():
        compare(args)


def compare(args: argparse.Namespace) -> None:
    """Measure, and print the tables."""
    print(f"{machine()}, {args.rounds} rounds")
    if not find_spec("torch"):
        print("PyTorch is left out: pip install torch==2.13.0 brings it in")
    rows = []
    for name in args.gans:
        rows += main_table(name, args.batch_size, args.rounds)
    print(f"\nBatches of {args.batch_size}:\n")
    print(
        "| GAN | contender | ms a step | real images a second | time to ours, float32 "
        "| time to ours, bfloat16 | share of matmul's speed | first step, s | memory, GB |"
    )
    print("| --- | --- |" + " ---: |" * 7)
    print(*rows, sep="\n")
    smallest, *larger = sizes = sorted({*args.sizes})
    print("\nMilliseconds a step as the batch grows, ours in float32:\n")
    heads = [f"batch {smallest}", f"Keras 2, batch {smallest}", "its time to ours"]
    print(f"| GAN | {' | '.join([*heads, *(f'batch {size}' for size in larger)])} |")
    print("| --- |" + " ---: |" * (len(sizes) + 2))
    for name in args.gans:
        print(growth_row(name, sizes, args.rounds), flush=True)


if __name__ == "__main__":
    main()
