"""WGAN-GP in PyTorch, for torch_compare.py: a step of wgan-gp-mnist.py by PyTorch's autograd."""

import argparse

from benchmarks import torch_wgan
from benchmarks.torch_wgan import N_CRITIC

import torch

PENALTY_WEIGHT, LR, BETA_2 = 10.0, 1e-4, 0.9


class Training(torch_wgan.Training):
    """Train one WGAN-GP with the networks of torch_wgan.

    Attributes:
        between: a step's draws of Algorithm 1's epsilon, in [0, 1): how much of a real image.
        epsilon: Adam's, as Keras adds it: before the correction of the bias.
    """

    epsilon = 1e-7

    def __init__(self, seed: int, x_train: torch.Tensor, args: argparse.Namespace):
        super().__init__(seed, x_train, args)
        for name in "generator", "critic":
            weights = self.parts[name].parameters()
            self.parts[f"{name}_optimizer"] = torch.optim.Adam(weights, LR, betas=(0.0, BETA_2))
        self.updates = {"generator": 0, "critic": 0}
        self.between = torch.zeros(N_CRITIC, args.batch_size, 1, 1, 1, device=x_train.device)

    def update(self, name: str, loss: torch.Tensor) -> torch.Tensor:
        self.updates[name] += 1
        (group,) = self.parts[f"{name}_optimizer"].param_groups
        correction = (1 - BETA_2 ** self.updates[name]) ** 0.5
        group["eps"] = self.epsilon / correction  # as PyTorch adds it
        return super().update(name, loss)

    def penalty(self, images: torch.Tensor) -> torch.Tensor:
        """Return mean (|grad D(x)| - 1)^2 over images x, which can be differentiated again."""
        images.requires_grad_(True)
        scores = self.critic(images).sum()
        (gradients,) = torch.autograd.grad(scores, images, create_graph=True)
        return (gradients.flatten(1).norm(dim=1) - 1).square().mean()

    def gan_step(self) -> None:
        """Take a step of Algorithm 1, as wgan-gp-mnist.py has it, with the draws that lie ready."""
        for rows, noise, between in zip(self.rows, self.noise, self.between, strict=False):
            real = self.x_train[rows].to(self.noise.dtype) * (1 / 255)
            with torch.no_grad():
                fake = self.draw(noise, training=True)
            penalty = self.penalty(between * real + (1 - between) * fake)
            estimate = self.score(real) - self.score(fake)
            self.update("critic", PENALTY_WEIGHT * penalty - estimate)
        self.update("generator", -self.score(self.draw(self.noise[-1], training=True)))
