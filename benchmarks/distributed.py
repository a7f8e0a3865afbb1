"""What a second worker brings: `python3 -m benchmarks.distributed`.

One process on one core, a cluster of two on a core each at an equal global batch, and two
processes with half of the batch each that don't talk, which is the best that two can do. They
take turns; ratios are medians of the ratios within a round. The bytes are those that cross the
loopback interface meanwhile. Linux only.
"""

import argparse
import os
from pathlib import Path

from benchmarks.contenders import Contender, close, set_up
from benchmarks.speed import machine
from benchmarks.tables import markdown
from lib.program.flags import OneLineParser, whole_number
from tests.helpers import local_cluster

import numpy as np

BATCH_SIZE = 64


def start(name: str, batch_size: int, cores: list[int], talk: bool) -> list[Contender]:
    """Start a process on each of the cores, past its first step; a cluster if they `talk`."""
    workers = []
    for core, config in zip(cores, local_cluster(len(cores)), strict=True):
        env = os.environ | ({"TF_CONFIG": config} if talk else {})
        pinned = ("taskset", "--cpu-list", str(core))
        workers.append(Contender("ours", name, "float32", batch_size, prefix=pinned, env=env))
    for worker in workers:
        worker.answer()
    return workers


def turn(workers: list[Contender], steps: int) -> tuple[float, float]:
    """Return seconds a step, and megabytes that crossed."""
    before = megabytes()
    for worker in workers:
        worker.ask(steps)
    seconds = max(float(worker.answer()) for worker in workers)
    return seconds, (megabytes() - before) / steps


def megabytes() -> float:
    """Return what the loopback interface has received so far."""
    return int(Path("/sys/class/net/lo/statistics/rx_bytes").read_text()) / 1e6


def gradients(name: str) -> tuple[int, float]:
    """Return how many updates a step makes, and the megabytes of all their gradients."""
    _, params, (_, discriminator, adversarial), _ = set_up(name)
    critic_updates = 2 * params.n_critic if name == "wgan" else 1
    sizes = [
        sum(4 * weight.shape.num_elements() for weight in model.trainable_variables) / 1e6
        for model in (discriminator, adversarial)
    ]
    return critic_updates + 1, critic_updates * sizes[0] + sizes[1]


def measure(name: str, args: argparse.Namespace) -> np.ndarray:
    """Return seconds a step alone, of two that talk, of two that don't, and megabytes that crossed,
    all of them for each round.
    """
    alone = start(name, BATCH_SIZE, [0], talk=False)
    cluster = start(name, BATCH_SIZE, [0, 1], talk=True)
    mute = start(name, BATCH_SIZE // 2, [0, 1], talk=False)
    rounds = []
    for _ in range(args.rounds):
        seconds, crossed = turn(cluster, args.steps)
        rounds.append((turn(alone, args.steps)[0], seconds, turn(mute, args.steps)[0], crossed))
    close(alone + cluster + mute)
    return np.array(rounds).T


def main() -> None:
    """Read the flags, measure, and print the table."""
    parser = OneLineParser(__doc__)
    add, positive = parser.add_argument, whole_number(1)
    add("--gans", nargs="+", choices=("wgan", "lsgan"), default=("wgan", "lsgan"))
    add("--steps", type=positive, default=3, help="a turn (3)")
    add("--rounds", type=positive, default=15, help="turns of each (15)")
    args = parser.parse_args()
    print(f"{machine()}, {args.rounds} rounds of {args.steps} steps\n")
    measured = []
    for name in args.gans:
        rounds = measure(name, args)
        alone, both, mute, crossed = np.median(rounds, axis=1)
        ratios = np.median(rounds[0] / rounds[1:3], axis=1)
        updates, size = gradients(name)
        times = [f"{1e3 * seconds:.0f}" for seconds in (alone, both, mute)]
        ratios = [f"{ratio:.2f}" for ratio in ratios]
        measured.append([name, *times, *ratios, updates, f"{size:.1f}", f"{crossed:.1f}"])
    heads = ["GAN", "one worker, ms", "two, ms", "two that don't talk, ms", "ratio"]
    heads += ["ratio without talk", "updates a step", "gradients a step, MB", "crossed a step, MB"]
    print(markdown(heads, measured))


if __name__ == "__main__":
    main()
