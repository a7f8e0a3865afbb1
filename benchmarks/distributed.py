"""What a second worker brings: `python3 -m benchmarks.distributed`.

One process on one core, a cluster of two on a core each at an equal global batch, and two
processes with half of the batch each that don't talk, which is the best that two can do. They
take turns; ratios are medians of the ratios within a round. Linux only.
"""

import os

from benchmarks.contenders import Contender, close, set_up
from benchmarks.speed import machine
from benchmarks.tables import markdown
from lib.program.flags import OneLineParser, number
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


def turn(workers: list[Contender], steps: int) -> float:
    """Return seconds a step, of the slowest."""
    for worker in workers:
        worker.ask(steps)
    return max(float(worker.answer()) for worker in workers)


def gradients(name: str) -> tuple[int, float]:
    """Return how many updates a step makes, and the megabytes of all their gradients."""
    _, params, (_, discriminator, adversarial), _ = set_up(name)
    critic_updates = 2 * params.n_critic if name == "wgan" else 1
    sizes = [
        sum(4 * weight.shape.num_elements() for weight in model.trainable_variables) / 1e6
        for model in (discriminator, adversarial)
    ]
    return critic_updates + 1, critic_updates * sizes[0] + sizes[1]


def measure(name: str, rounds: int, steps: int) -> np.ndarray:
    """Return seconds a step alone, of two that talk and of two that don't, a column each round."""
    teams = [
        start(name, BATCH_SIZE, [0], talk=False),
        start(name, BATCH_SIZE, [0, 1], talk=True),
        start(name, BATCH_SIZE // 2, [0, 1], talk=False),
    ]
    seconds = [[turn(team, steps) for team in teams] for _ in range(rounds)]
    for team in teams:
        close(team)
    return np.array(seconds).T


def main() -> None:
    """Read the flags, measure, and print the table."""
    parser = OneLineParser(__doc__)
    add, positive = parser.add_argument, number(1)
    add("--gans", nargs="+", choices=("wgan", "lsgan"), default=("wgan", "lsgan"))
    add("--steps", type=positive, default=3, help="a turn (3)")
    add("--rounds", type=positive, default=15, help="turns of each (15)")
    args = parser.parse_args()
    print(f"{machine()}, {args.rounds} rounds of {args.steps} steps\n")
    measured = []
    for name in args.gans:
        seconds = measure(name, args.rounds, args.steps)
        ratios = np.median(seconds[0] / seconds[1:], axis=1)
        updates, size = gradients(name)
        cells = [f"{milliseconds:.0f}" for milliseconds in 1e3 * np.median(seconds, axis=1)]
        cells += [f"{ratio:.2f}" for ratio in ratios]
        measured.append([name, *cells, updates, f"{size:.1f}"])
    heads = ["GAN", "one worker, ms", "two, ms", "two that don't talk, ms", "ratio"]
    heads += ["ratio without talk", "updates a step", "gradients a step, MB"]
    print(markdown(heads, measured))


if __name__ == "__main__":
    main()
