"""Train the WGAN of wgan-mnist.py in PyTorch, many seeds at once, and say which lose hold.

    python3 -m benchmarks.torch_wgan --seeds=24 --precision=bfloat16 --checkpoint-every=2000
    python3 -m benchmarks.torch_wgan --seeds=24 --joint --output-dir=wgan_torch_joint
    python3 -m benchmarks.torch_wgan --seeds=24 --start-from=wgan_torch/checkpoint_3_38000.pt \\
        --output-dir=wgan_torch_again

It needs torch and NumPy, no TensorFlow. lost_hold.py says what losing hold means; torch_compare.py
compares the two programs. The output directory gets:
- losses.csv: the mean losses of every 50 steps of each seed, named as in a script's history.csv.
- generator_SEED.npz: the generator at the end, for `gan.generator(keras.Input((100,)), 28)`, whose
  `set_weights` takes `list(numpy.load(path).values())`.
- checkpoint_SEED_STEP.pt, with --checkpoint-every.
"""

import argparse
import csv
import time
from pathlib import Path

from benchmarks import lost_hold
from benchmarks.lost_hold import WINDOW

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

ROOT = Path(__file__).parents[1]
LATENT, N_CRITIC, CLIP = 100, 5, 0.01
WARM_UP = 3  # steps before CUDA records one


class Generator(nn.Module):
    """Draw images: `gan.generator` at image size 28."""

    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(LATENT, 7 * 7 * 128)
        self.layers = nn.ModuleList()
        width = 128
        # At stride 2 TensorFlow crops one row before and two after; `padding` crops on both sides.
        for filters, stride, crop in ((128, 2, 1), (64, 2, 1), (32, 1, 2), (1, 1, 2)):
            self.layers.append(nn.BatchNorm2d(width, eps=1e-3, momentum=1 - 0.99))
            self.layers.append(nn.ConvTranspose2d(width, filters, 5, stride, padding=crop))
            width = filters

    def forward(self, noise: torch.Tensor) -> torch.Tensor:
        """Map noise (N, 100) to float32 images (N, 1, 28, 28) in [0, 1]."""
        x = self.dense(noise).view(-1, 7, 7, 128).permute(0, 3, 1, 2)
        for norm, conv in zip(self.layers[::2], self.layers[1::2], strict=True):
            x = conv(F.relu(norm(x)))
            x = x[:, :, :-1, :-1] if conv.stride == (2, 2) else x
        return torch.sigmoid(x.to(noise.dtype))


class Critic(nn.Module):
    """Score images: `gan.discriminator` without an activation, at image size 28."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList()
        width = 1
        # At stride 2 and an even side TensorFlow pads one row before and two after.
        for filters, stride, pad in ((32, 2, 1), (64, 2, 1), (128, 2, 2), (256, 1, 2)):
            self.layers.append(nn.Conv2d(width, filters, 5, stride, padding=pad))
            width = filters
        self.dense = nn.Linear(4 * 4 * width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images (N, 1, 28, 28) to float32 scores (N, 1)."""
        for conv in self.layers:
            x = F.leaky_relu(x, 0.2)
            x = conv(F.pad(x, (0, 1, 0, 1)) if conv.padding == (1, 1) else x)
        with torch.autocast(x.device.type, enabled=False):  # a head is float32 in every precision
            return self.dense(x.permute(0, 2, 3, 1).flatten(1).to(self.dense.weight.dtype))


class Training:
    """Train one WGAN.

    Args:
        seed: of the first weights and of the draws.
        x_train: real images, uint8 (N, 1, 28, 28), on the device that trains.
        args: the command's flags.
    """

    def __init__(self, seed: int, x_train: torch.Tensor, args: argparse.Namespace):
        self.seed, self.x_train, self.args = seed, x_train, args
        device = x_train.device
        cuda = device.type == "cuda"
        self.generator, self.critic = Generator(), Critic()
        self.parts = {"generator": self.generator, "critic": self.critic}
        rng = torch.Generator().manual_seed(seed)  # the same weights on every device
        for name in "generator", "critic":
            for key, weight in self.parts[name].named_parameters():
                if weight.ndim > 1:
                    nn.init.xavier_uniform_(weight, generator=rng)  # Keras's GlorotUniform
                elif key.endswith("bias"):
                    nn.init.zeros_(weight)
            self.parts[name].to(device, memory_format=torch.channels_last)
            # Keras 2's formula: v = 0.9 v + 0.1 g^2;  w -= lr g / (sqrt(v) + 1e-7)
            self.parts[f"{name}_optimizer"] = torch.optim.RMSprop(
                self.parts[name].parameters(), args.lr, alpha=0.9, eps=1e-7, capturable=cuda
            )
        self.rng = torch.Generator(device).manual_seed(seed)
        # a step's draws: which images are real, and noise, of which the last is the generator's own
        self.rows = torch.zeros(N_CRITIC, args.batch_size, dtype=torch.int64, device=device)
        self.noise = torch.zeros(N_CRITIC + 1, args.batch_size, LATENT, device=device)
        self.losses = torch.zeros(2, device=device)  # sums since the last row of the table
        self.table = []  # step, critic's loss, generator's loss
        # bfloat16 as Keras's mixed_bfloat16; a cache would hold weights of before an update
        bfloat16 = args.precision == "bfloat16"
        self.autocast = torch.autocast(
            device.type, torch.bfloat16, enabled=bfloat16, cache_enabled=False
        )
        self.stream = torch.cuda.Stream() if cuda else None
        self.graph = None
        if args.start_from:
            self.restore(args.start_from.format(seed=seed))
        self.step = self.begun = self.table[-1][0] if self.table else 0
        if cuda:
            torch.cuda.synchronize()  # what lies ready does so for the run's stream too

    def draw(self, noise: torch.Tensor, training: bool) -> torch.Tensor:
        self.generator.train(training)
        with self.autocast:
            return self.generator(noise)

    def score(self, images: torch.Tensor) -> torch.Tensor:
        """Return the mean of the critic's scores."""
        with self.autocast:
            return self.critic(images).mean()

    def update(self, name: str, loss: torch.Tensor) -> torch.Tensor:
        optimizer = self.parts[f"{name}_optimizer"]
        optimizer.zero_grad()
        loss.backward(inputs=list(self.parts[name].parameters()))  # the other network is frozen
        optimizer.step()
        return loss.detach()

    def gan_step(self) -> None:
        """Take a step of Algorithm 1, as wgan-mnist.py has it, with the draws that lie ready."""
        critic_loss = 0  # mean of -D(x) and D(g(z)), with --joint too
        for rows, noise in zip(self.rows, self.noise, strict=False):
            real = self.x_train[rows].to(self.noise.dtype) * (1 / 255)
            with torch.no_grad():  # by moving averages, unless told otherwise
                fake = self.draw(noise, training=self.args.training_mode_fakes)
            if self.args.joint:
                loss = self.update("critic", self.score(fake) - self.score(real))
            else:
                loss = self.update("critic", -self.score(real))
                loss = loss + self.update("critic", self.score(fake))
            with torch.no_grad():
                for weight in self.critic.parameters():
                    weight.clamp_(-CLIP, CLIP)
            critic_loss += loss / (2 * N_CRITIC)
        fake = self.draw(self.noise[-1], training=True)
        generator_loss = self.update("generator", -self.score(fake))
        self.losses += torch.stack([critic_loss, generator_loss])

    def advance(self) -> None:
        """Draw, and take a step.

        On a GPU a step is the launch of a graph, on the run's own stream: kernels are so small
        that those of several runs fit side by side.
        """
        with torch.cuda.stream(self.stream):
            self.rows.random_(0, len(self.x_train), generator=self.rng)
            self.noise.uniform_(-1, 1, generator=self.rng)
            self.graph.replay() if self.graph else self.gan_step()
        self.step += 1
        if self.stream and self.step == self.begun + WARM_UP and not self.args.eager:
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph, stream=self.stream):
                self.gan_step()  # recorded, not computed

    def log(self) -> list[float]:
        """Return the table's row of the last 50 steps, which on a GPU have then ended."""
        with torch.cuda.stream(self.stream):
            self.table.append([self.step, *(self.losses / WINDOW).tolist()])
            self.losses.zero_()
        return self.table[-1]

    def save(self, path: Path) -> None:
        """Save all that `restore` needs to go on after a row of the table."""
        state = {name: part.state_dict() for name, part in self.parts.items()}
        state |= {"seed": self.seed, "rng": self.rng.get_state(), "table": self.table}
        torch.save(state, path)

    def restore(self, path: str) -> None:
        """Go on from a file of `save`, with its draws if its seed is this run's."""
        state = torch.load(path, map_location=self.x_train.device, weights_only=True)
        for name, part in self.parts.items():
            part.load_state_dict(state[name])
        for name in "generator", "critic":  # a file may be of another device, and another rate
            (group,) = self.parts[f"{name}_optimizer"].param_groups
            group |= {"lr": self.args.lr, "capturable": self.x_train.is_cuda}
        if state["seed"] == self.seed:
            self.rng.set_state(state["rng"].cpu())
        self.table = state["table"]


def keras_views(net: nn.Module) -> list[torch.Tensor]:
    """Return a network's weights, in place, in the order and layout of Keras's `get_weights`."""
    axes = {1: (0,), 2: (1, 0), 4: (2, 3, 1, 0)}
    state = net.state_dict().values()
    return [weight.permute(axes[weight.ndim]) for weight in state if weight.ndim]


def train(x_train: torch.Tensor, args: argparse.Namespace) -> None:
    """Train all seeds side by side, write their files, and print which lost hold."""
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    runs = [Training(seed, x_train, args) for seed in seeds]
    (first,) = {run.step for run in runs}  # all checkpoints are of one step
    folder = Path(args.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    # another run's table isn't replaced; one that goes on has the rows of before in it
    with open(folder / "losses.csv", "w" if args.start_from else "x", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["seed", "step", "discriminator_loss", "adversarial_loss"])
        writer.writerows([run.seed, *row] for run in runs for row in run.table)
        for step in range(first + 1, args.steps + 1):
            for run in runs:
                run.advance()
            if step % WINDOW == 0:
                writer.writerows([run.seed, *run.log()] for run in runs)
                file.flush()
            if args.checkpoint_every and step % args.checkpoint_every == 0:
                for run in runs:
                    run.save(folder / f"checkpoint_{run.seed}_{step:05d}.pt")
            if step % (10 * WINDOW) == 0:
                pace = (time.perf_counter() - began) / (step - first)
                print(f"step {step}: {1e3 * pace:.1f} ms for a step of every seed", flush=True)
    for run in runs:
        weights = [view.cpu().numpy() for view in keras_views(run.generator)]
        np.savez(folder / f"generator_{run.seed}.npz", *weights)
    lost_hold.report({f"seed {run.seed}": run.table for run in runs})


def load(args: argparse.Namespace) -> torch.Tensor:
    """Return the training images, uint8 (N, 1, 28, 28)."""
    with np.load(args.data) as arrays:
        return torch.from_numpy(arrays["x_train"]).view(-1, 1, 28, 28).to(args.device)


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("benchmarks.torch_wgan", description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=1, help="how many (1)")
    parser.add_argument("--first-seed", type=int, default=1, help="1")
    parser.add_argument("--steps", type=int, default=40_000, help="a multiple of 50 (40000)")
    parser.add_argument("--batch-size", type=int, default=64, help="64")
    parser.add_argument("--lr", type=float, default=5e-5, help="of both networks (5e-5)")
    parser.add_argument("--precision", choices=("float32", "tf32", "bfloat16"), default="float32")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--data", default=ROOT / "lib" / "mnist.npz", help="npz with x_train")
    parser.add_argument("--output-dir", default="wgan_torch", help="wgan_torch")
    parser.add_argument("--joint", action="store_true", help="one update for real and fake images")
    parser.add_argument("--training-mode-fakes", action="store_true", help="for the critic too")
    parser.add_argument("--checkpoint-every", type=int, default=0, help="a multiple of 50 steps")
    parser.add_argument("--start-from", help="a checkpoint; {seed} in it stands for each seed")
    parser.add_argument("--eager", action="store_true", help="on a GPU too, no graphs")
    args = parser.parse_args(arguments)
    if args.steps % WINDOW or args.checkpoint_every % WINDOW:
        parser.error(f"--steps and --checkpoint-every must be multiples of {WINDOW}")
    return args


def main() -> None:
    args = parse_args()
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = args.precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = args.precision == "tf32"
    train(load(args), args)


if __name__ == "__main__":
    main()
