"""Compare a script's steps with PyTorch's: `python3 -m benchmarks.torch_compare`.

Both take steps from equal weights with equal draws; PyTorch's gradients are its autograd's. It
prints the distance between the two ends, as a share of the distance moved. RMSprop's and Adam's
first steps are as long for a gradient of 1e-6 as for one of 1, so they magnify rounding; a larger
epsilon, on both sides, takes that away. Where a value lies at a ReLU's bend, rounding decides its
slope, and the ends part by some 1e-3; with other seeds they don't.
"""

import argparse

from benchmarks import torch_steps
from benchmarks.contenders import set_up
from lib.plumbing.tf import tf

import numpy as np
import torch


class Handed:
    """Hands out batches drawn before, each kind in order."""

    def __init__(self, batch_size: int, batches: dict[str, list]):
        self.batch_size, self.batches, self.rng = batch_size, batches, self

    def __getattr__(self, kind):
        return lambda *_: self.batches[kind].pop(0)


def channels_last(batch: torch.Tensor) -> tf.Tensor:
    return tf.constant((batch.movedim(1, -1) if batch.ndim == 4 else batch).numpy())


def compare(name: str, steps=2, batch_size=2, seed=1, epsilon=1e-4) -> dict[str, float]:
    """Take steps on both sides, with RMSprop's and Adam's epsilon as given.

    Returns:
        The distance between the ends as a share of the distance moved, for "generator" and
        "discriminator".
    """
    script, params, models, _ = set_up(name, batch_size, seed)
    rng = np.random.default_rng(seed)
    for weight in models[1].trainable_weights:
        if weight.path.endswith("bias"):  # far enough from 0 for clipping to matter
            weight.assign(rng.uniform(-0.02, 0.02, weight.shape))
    for model in models[1:]:
        model.optimizer.epsilon = epsilon  # Adam's
        vars(model.optimizer).setdefault("constants", {})["epsilon"] = epsilon  # our RMSprop's
    twin = torch_steps.Twin(name, seed, epsilon=epsilon)
    pairs = [(models[0], twin.generator), (models[1], twin.discriminator)]
    starts = [model.get_weights() for model, _ in pairs]
    for (_, net), start in zip(pairs, starts, strict=True):
        for weight, array in zip(torch_steps.keras_weights(net), start, strict=True):
            assert weight.shape == array.shape
            weight.copy_(torch.from_numpy(array))

    draw, count = torch_steps.Draw(batch_size, seed), range(steps * (torch_steps.N_CRITIC + 1))
    kinds = ("images", "labelled_images", "noise", "labels", "codes")
    batches = {kind: [getattr(draw, kind)() for _ in count] for kind in kinds}
    batches["uniform"] = [draw.uniform(1, 1, 1) for _ in count]
    theirs = Handed(batch_size, batches)
    ours = Handed(batch_size, tf.nest.map_structure(channels_last, batches))
    for _ in range(steps):
        script.gan_step(models, ours, params)
        twin.step(theirs)
    result = {}
    for (model, net), start in zip(pairs, map(flat, starts), strict=True):
        end = flat(model.get_weights())
        apart = np.linalg.norm(end - flat(torch_steps.keras_weights(net)))
        result[model.name] = float(apart / np.linalg.norm(end - start))
    return result


def flat(arrays) -> np.ndarray:
    return np.concatenate([np.asarray(array, np.float64).ravel() for array in arrays])


def main() -> None:
    """Read the flags, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    add = parser.add_argument
    add("--gans", nargs="+", choices=torch_steps.GANS, default=torch_steps.GANS, help="all")
    add("--steps", type=int, default=2, help="2")
    add("--batch-size", type=int, default=2, help="2")
    add("--seed", type=int, default=1, help="1")
    add("--epsilon", type=float, default=1e-4, help="of RMSprop and Adam (1e-4)")
    args = vars(parser.parse_args())
    for name in args.pop("gans"):
        shares = compare(name, **args).items()
        print(f"{name}:", *(f"{part} {share:.1e}" for part, share in shares), flush=True)


if __name__ == "__main__":
    main()
