"""Compare PyTorch's WGAN or WGAN-GP with the script: `python3 -m benchmarks.torch_compare`.

Both start from equal weights and get equal draws. The distance between their end points is set
against the distance moved. RMSprop's and Adam's first steps are as long for a gradient of 1e-6 as
for one of 1, so they magnify rounding. PyTorch's float32 against its float64 tells how much. Of
WGAN-GP, a larger epsilon of Adam takes that away:

    python3 -m benchmarks.torch_compare --gan=wgan-gp --epsilon=1e-4 --batch-size=2 --steps=4
"""

import argparse
import runpy
from types import SimpleNamespace

from benchmarks import torch_wgan, torch_wgan_gp

import numpy as np
import torch

TRAINING = {"wgan": torch_wgan.Training, "wgan-gp": torch_wgan_gp.Training}


def compare(
    gan: str, steps: int, batch_size: int = 64, seed: int = 1, epsilon: float | None = None
) -> dict[str, dict[str, float]]:
    """Take steps in TensorFlow, by the script's gan_step, and in PyTorch.

    Args:
        gan: wgan or wgan-gp.
        epsilon: of WGAN-GP's Adam, on both sides; None for the script's.

    Returns:
        For "generator" and "critic": "apart", PyTorch from TensorFlow, and "rounding", PyTorch in
        float32 from float64, both as shares of the distance that TensorFlow moved.
    """
    script = SimpleNamespace(**runpy.run_path(str(torch_wgan.ROOT / f"{gan}-mnist.py")))
    script.keras.utils.set_random_seed(seed)
    params = script.parser.parse_args([f"--batch-size={batch_size}"])
    models = script.build_models(params, SimpleNamespace(image_size=28))
    rng = np.random.default_rng(seed)
    for weight in models[1].weights[1::2]:  # biases far enough from 0 for clipping to matter
        weight.assign(rng.uniform(-0.02, 0.02, weight.shape))
    start = {name: models[i].get_weights() for i, name in enumerate(("generator", "critic"))}

    args = torch_wgan.parse_args([f"--batch-size={batch_size}", "--device=cpu"])
    x_train = torch_wgan.load(args)
    single, double = (TRAINING[gan](seed, x_train, args) for _ in range(2))
    if epsilon is not None:
        for owner in models[1].optimizer, models[2].optimizer, single, double:
            owner.epsilon = epsilon
    double.generator.double(), double.critic.double()
    double.noise = double.noise.double()
    for run in single, double:
        for name, arrays in start.items():
            for view, array in zip(torch_wgan.keras_views(run.parts[name]), arrays, strict=True):
                view.copy_(torch.from_numpy(array))

    for _ in range(steps):
        rows = torch.from_numpy(rng.integers(len(x_train), size=single.rows.shape))
        noise = torch.from_numpy(rng.uniform(-1, 1, single.noise.shape).astype(np.float32))
        images = (x_train[rows] * (1 / 255)).permute(0, 1, 3, 4, 2).numpy()
        draws = {"images": iter(images).__next__, "noise": iter(noise.numpy()).__next__}
        if gan == "wgan-gp":
            between = torch.from_numpy(rng.random(single.between.shape, np.float32))
            draws["rng"] = Uniform(between.numpy())
        script.gan_step(models, SimpleNamespace(batch_size=batch_size, **draws), params)
        for run in single, double:
            run.rows.copy_(rows)
            run.noise.copy_(noise)
            if gan == "wgan-gp":
                run.between.copy_(between)
            run.gan_step()

    result = {}
    for model, (name, origin) in zip(models, start.items(), strict=False):
        ours = flat(model.get_weights())
        moved = np.linalg.norm(ours - flat(origin))
        float32, float64 = (
            flat(torch_wgan.keras_views(run.parts[name])) for run in (single, double)
        )
        distances = {"apart": float32 - ours, "rounding": float32 - float64}
        result[name] = {key: float(np.linalg.norm(gap) / moved) for key, gap in distances.items()}
    return result


class Uniform:
    """Stands for a tf.random.Generator; hands out given numbers in the shape asked for."""

    def __init__(self, batches):
        self.batches = iter(batches)

    def uniform(self, shape):
        return next(self.batches).reshape(shape)


def flat(arrays) -> np.ndarray:
    return np.concatenate([np.asarray(array, np.float64).ravel() for array in arrays])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    parser.add_argument("--gan", choices=TRAINING, default="wgan", help="wgan")
    parser.add_argument("--steps", type=int, default=8, help="8")
    parser.add_argument("--batch-size", type=int, default=64, help="64")
    parser.add_argument("--seed", type=int, default=1, help="1")
    parser.add_argument("--epsilon", type=float, help="of WGAN-GP's Adam (1e-7)")
    for name, shares in compare(**vars(parser.parse_args())).items():
        print(
            f"{name}: {shares['apart']:.1e} of the distance moved; rounding {shares['rounding']:.1e}"
        )


if __name__ == "__main__":
    main()
