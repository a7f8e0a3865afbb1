"""What a second worker brings: `python3 -m benchmarks.distributed`.

One process on one core, a cluster of two on a core each at an equal global batch, and two
processes with half of the batch each that don't talk, which is the best that two can do. They
take turns; ratios are medians of the ratios within a round. The bytes are those that cross the
loopback interface meanwhile. From these, on paper, the step with more workers on other
networks. Linux only.
"""

import argparse
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

from benchmarks.speed import machine
from lib import cli, data, flag_types, flags, signals
from tests.helpers import local_cluster

import numpy as np

BATCH_SIZE = 64
WORKERS = (1, 2, 4, 8, 16, 32, 64)
GIGABITS = (1, 10, 100)
HOP_SECONDS = 1e-4  # from a machine to its neighbour; taken, not measured


def start(name: str, batch_size: int, cores: list[int], talk: bool) -> list[subprocess.Popen]:
    """A process on each of the cores, past its first step; a cluster if they `talk`."""
    workers = []
    for core, config in zip(cores, local_cluster(len(cores)), strict=True):
        cluster = {"TF_CONFIG": config} if talk else {}
        words = ["-m", "benchmarks.contenders", "ours", name, "float32", str(batch_size)]
        workers.append(
            signals.start(
                ["taskset", "--cpu-list", str(core), sys.executable, *words],
                env=os.environ | cluster,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
    for worker in workers:
        if worker.stdout.readline() != "ready\n":
            sys.exit(f"failed: {' '.join(worker.args)}")
    return workers


def turn(workers: list[subprocess.Popen], steps: int) -> tuple[float, float]:
    """Seconds a step, and megabytes that crossed."""
    before = megabytes()
    for worker in workers:
        print(steps, file=worker.stdin, flush=True)
    seconds = max(float(worker.stdout.readline()) for worker in workers)
    return seconds, (megabytes() - before) / steps


def megabytes() -> float:
    """What the loopback interface has received so far."""
    lines = Path("/proc/net/dev").read_text().splitlines()
    (counts,) = [line.split(":")[1] for line in lines if line.strip().startswith("lo:")]
    return int(counts.split()[0]) / 1e6


def gradients(name: str) -> tuple[int, float]:
    """How many updates a step makes, and the megabytes of all their gradients."""
    script = import_module(f"{name}-mnist")
    params = script.parser.parse_args([])
    _, discriminator, adversarial = script.build_models(params, data.load())
    critic_updates = 2 * params.n_critic if name == "wgan" else 1
    sizes = [
        sum(4 * weight.shape.num_elements() for weight in model.trainable_variables) / 1e6
        for model in (discriminator, adversarial)
    ]
    return critic_updates + 1, critic_updates * sizes[0] + sizes[1]


def measure(name: str, args: argparse.Namespace) -> np.ndarray:
    """Seconds a step alone, of two that talk, of two that don't, and megabytes that crossed, all
    of them for each round.
    """
    alone = start(name, BATCH_SIZE, [0], talk=False)
    cluster = start(name, BATCH_SIZE, [0, 1], talk=True)
    mute = start(name, BATCH_SIZE // 2, [0, 1], talk=False)
    rounds = []
    for _ in range(args.rounds):
        seconds, crossed = turn(cluster, args.steps)
        rounds.append((turn(alone, args.steps)[0], seconds, turn(mute, args.steps)[0], crossed))
    for worker in alone + cluster + mute:
        worker.stdin.close()
    for worker in alone + cluster + mute:
        worker.wait()
    return np.array(rounds).T


def on_paper(workers: int, gigabits: float, step: dict) -> float:
    """Seconds a step with a ring of workers; nothing overlaps.

    Each computes its share as fast as the whole, then for each update passes its neighbour
    2 (n - 1) messages that come to 2 (n - 1) / n times the gradients, and pays besides what
    talking cost on loopback.
    """
    if workers == 1:
        return step["alone"]
    messages = 2 * (workers - 1)
    transfer = messages / workers * step["megabytes"] / (125 * gigabits)
    latency = messages * step["updates"] * HOP_SECONDS
    return step["alone"] / workers + transfer + latency + step["besides"]


def main() -> None:
    parser = flags.OneLineParser(__doc__)
    positive = flag_types.whole_number(1)
    parser.add_argument("--gans", nargs="+", choices=("wgan", "lsgan"), default=("wgan", "lsgan"))
    parser.add_argument("--steps", type=positive, default=3, help="a turn (3)")
    parser.add_argument("--rounds", type=positive, default=15, help="turns of each (15)")
    args = parser.parse_args()
    with cli.one_line_errors(parser), signals.leaving():
        compare(args)


def compare(args: argparse.Namespace) -> None:
    """Measure, and print the tables."""
    print(f"{machine()}, {args.rounds} rounds of {args.steps} steps\n")
    print(
        "| GAN | one worker, ms | two, ms | two that don't talk, ms | ratio | ratio without talk "
        "| updates a step | gradients a step, MB | crossed a step, MB |\n| --- |" + " ---: |" * 8
    )
    steps = {}
    for name in args.gans:
        rounds = measure(name, args)
        alone, both, mute, crossed = np.median(rounds, axis=1)
        ratio, best = np.median(rounds[0] / rounds[1:3], axis=1)
        updates, size = gradients(name)
        print(
            f"| {name} | {1e3 * alone:.0f} | {1e3 * both:.0f} | {1e3 * mute:.0f} | {ratio:.2f} "
            f"| {best:.2f} | {updates} | {size:.1f} | {crossed:.1f} |",
            flush=True,
        )
        besides = max(0, both - mute)  # in a few steps those that talk may seem faster
        steps[name] = {"alone": alone, "updates": updates, "megabytes": size, "besides": besides}

    print("\nOn paper, milliseconds a step, and up to how many workers each does half its best:\n")
    print(
        f"| GAN | Gbit/s | {' | '.join(map(str, WORKERS))} | pays up to |\n"
        "| --- |" + " ---: |" * (len(WORKERS) + 2)
    )
    for name, step in steps.items():
        for gigabits in GIGABITS:
            times = {n: on_paper(n, gigabits, step) for n in WORKERS}
            pays = max(n for n, time in times.items() if step["alone"] / time >= n / 2)
            cells = " | ".join(f"{1e3 * time:.0f}" for time in times.values())
            print(f"| {name} | {gigabits} | {cells} | {pays} |")


if __name__ == "__main__":
    main()
