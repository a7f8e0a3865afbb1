"""The GANs of this collection in PyTorch: networks and steps.

    python3 -m benchmarks.torch_steps --gan=wgan --seeds=24 --precision=bfloat16

trains seeds one after the other, without TensorFlow, on a GPU where there is one. Its folder gets
losses.csv, the mean losses of every 50 steps of each seed, and generator_SEED.npz, whose arrays are
those of Keras's `get_weights`. Learning rates don't decay, which would take 0.24% off in 40,000
steps. torch_compare.py compares a step with the script's.
"""

import argparse
import csv
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

MNIST = Path(__file__).parents[1] / "lib" / "mnist.npz"
GANS = ("dcgan", "cgan", "wgan", "lsgan", "acgan", "wgan-gp", "infogan")
CONDITIONS = {"cgan": (10,), "acgan": (10,), "infogan": (10, 1, 1)}  # widths of labels and codes
RATES = {"wgan": (5e-5, 5e-5), "wgan-gp": (1e-4, 1e-4)}  # of discriminator and generator
LATENT, N_CRITIC, CLIP, PENALTY_WEIGHT, CODE_WEIGHT = 100, 5, 0.01, 10.0, 2.0
WINDOW = 50  # steps, whose mean losses are a row of the table


class Conv(nn.Conv2d):
    """Pad as TensorFlow's "same" does: where the padding is odd, one more after than before."""

    def forward(self, x):
        side, stride = x.shape[-1], self.stride[0]
        padding = (-(-side // stride) - 1) * stride + self.kernel_size[0] - side
        x = F.pad(x, (0, 1, 0, 1)) if padding % 2 else x
        return F.conv2d(x, self.weight, self.bias, stride, padding // 2)


class ConvTranspose(nn.ConvTranspose2d):
    """Crop as TensorFlow's "same" does: where the margin is odd, one more after than before."""

    def forward(self, x):
        margin = self.kernel_size[0] - self.stride[0]
        x = F.conv_transpose2d(x, self.weight, self.bias, self.stride, margin // 2)
        return x[..., :-1, :-1] if margin % 2 else x


class Generator(nn.Module):
    """`gan.generator`: noise, labels and codes to float32 images (N, 1, 28, 28) in [0, 1]."""

    def __init__(self, inputs: int, bfloat16: bool):
        super().__init__()
        self.bfloat16 = bfloat16
        self.dense = nn.Linear(inputs, 7 * 7 * 128)
        modules, width = [], 128
        for filters, stride in ((128, 2), (64, 2), (32, 1), (1, 1)):
            modules += [nn.BatchNorm2d(width, eps=1e-3, momentum=1 - 0.99), nn.ReLU()]
            modules.append(ConvTranspose(width, filters, 5, stride))
            width = filters
        self.layers = nn.Sequential(*modules)

    def forward(self, *inputs):
        x = torch.cat(inputs, dim=1)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.bfloat16):
            x = self.layers(self.dense(x).view(-1, 7, 7, 128).permute(0, 3, 1, 2))
        return torch.sigmoid(x.float())


class Discriminator(nn.Module):
    """`gan.discriminator`: images, and CGAN's labels, to a float32 (N, width) of logits a head."""

    def __init__(self, labels: int, heads: tuple[int, ...], bfloat16: bool):
        super().__init__()
        self.bfloat16 = bfloat16
        self.labels = nn.Linear(labels, 28 * 28) if labels else None
        modules, width = [], 2 if labels else 1
        for filters, stride in ((32, 2), (64, 2), (128, 2), (256, 1)):
            modules += [nn.LeakyReLU(0.2), Conv(width, filters, 5, stride)]
            width = filters
        self.layers = nn.Sequential(*modules)
        self.shared = nn.Linear(4 * 4 * width, 128) if heads else nn.Identity()
        self.source = nn.Linear(4 * 4 * width, 1)
        self.heads = nn.ModuleList(nn.Linear(128, head) for head in heads)

    def forward(self, x, labels=None):
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.bfloat16):
            if self.labels:
                x = torch.cat([x, self.labels(labels).view(-1, 1, 28, 28)], dim=1)
            x = self.layers(x).permute(0, 2, 3, 1).flatten(1)
            shared = self.shared(x).float()
        # heads are float32 in every precision
        return [self.source(x.float()), *(head(shared) for head in self.heads)]


class Draw:
    """Draws batches on a device, as `data.Sampler` does."""

    def __init__(self, batch_size: int, seed: int, device: str = "cpu"):
        self.batch_size, self.device = batch_size, device
        self.rng = torch.Generator(device).manual_seed(seed)
        with np.load(MNIST) as arrays:
            self.x_train = torch.from_numpy(arrays["x_train"])[:, np.newaxis].to(device)
            self.y_train = torch.from_numpy(arrays["y_train"]).long().to(device)

    def uniform(self, *shape):
        return torch.rand(self.batch_size, *shape, generator=self.rng, device=self.device)

    def images(self):
        return self.labelled_images()[0]

    def labelled_images(self):
        rows = (self.uniform() * len(self.x_train)).long()
        return self.x_train[rows] / 255, F.one_hot(self.y_train[rows], 10).float()

    def noise(self):
        return 2 * self.uniform(LATENT) - 1

    def labels(self):
        return F.one_hot((10 * self.uniform()).long(), 10).float()

    def codes(self):
        return [self.labels(), self.uniform(1), self.uniform(1)]


class Twin:
    """A GAN of GANS with its optimizers, its first weights drawn as Keras's GlorotUniform draws them.

    `compiled` is by torch.compile, but for WGAN-GP's penalty, the gradient of a gradient.
    """

    def __init__(self, name, seed, precision="float32", device="cpu", epsilon=1e-7, compiled=False):
        self.name, self.epsilon, self.optimizers = name, epsilon, {}
        widths = CONDITIONS.get(name, ())
        bfloat16 = precision == "bfloat16"  # Keras's mixed_bfloat16
        self.generator = Generator(LATENT + sum(widths), bfloat16)
        labels, heads = (10, ()) if name == "cgan" else (0, widths)
        self.discriminator = Discriminator(labels, heads, bfloat16)
        nets = self.discriminator, self.generator
        rng = torch.Generator().manual_seed(seed)  # the same weights on every device
        for net, rate in zip(nets, RATES.get(name, (2e-4, 1e-4)), strict=True):
            for key, weight in net.named_parameters():
                if weight.ndim > 1:
                    nn.init.xavier_uniform_(weight, generator=rng)
                elif key.endswith("bias"):
                    nn.init.zeros_(weight)
            net.to(device, memory_format=torch.channels_last)
            if compiled:
                net.compile()
            adam = partial(torch.optim.Adam, betas=(0.0, 0.9))
            rule = adam if name == "wgan-gp" else partial(torch.optim.RMSprop, alpha=0.9)
            self.optimizers[net] = rule(net.parameters(), rate, eps=epsilon, foreach=True)
        self.updates = dict.fromkeys(nets, 0)

    def step(self, draw) -> torch.Tensor:
        """Take a step as the script does, with batches of `draw`, a Draw or the like; return the
        losses of discriminator and generator, (2,).
        """
        losses = []
        for _ in range(N_CRITIC if self.name in RATES else 1):
            losses += [self.update(self.discriminator, loss) for loss in self.losses(draw)]
            if self.name == "wgan":
                with torch.no_grad():
                    for weight in self.discriminator.parameters():
                        weight.clamp_(-CLIP, CLIP)
        self.discriminator.requires_grad_(False)
        _, *conditions = inputs = self.inputs(draw)
        images = self.generator.train()(*inputs)
        source = torch.ones_like(images[:, 0, 0, :1])
        loss = -self.score(images) if self.name in RATES else self.loss(images, source, conditions)
        loss = self.update(self.generator, loss)
        self.discriminator.requires_grad_(True)
        return torch.stack([torch.stack(losses).mean(), loss])

    def update(self, net: nn.Module, loss: torch.Tensor) -> torch.Tensor:
        optimizer = self.optimizers[net]
        self.updates[net] += 1
        if self.name == "wgan-gp":  # Keras adds Adam's epsilon before it corrects the bias
            optimizer.param_groups[0]["eps"] = self.epsilon / (1 - 0.9 ** self.updates[net]) ** 0.5
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    def losses(self, draw) -> Iterator[torch.Tensor]:
        """Yield what the discriminator minimizes, each after the update by the one before."""
        labelled = self.name in ("cgan", "acgan")
        real, *labels = draw.labelled_images() if labelled else [draw.images()]
        _, *conditions = inputs = self.inputs(draw)
        with torch.no_grad():  # by moving averages, but for WGAN-GP's
            fake = self.generator.train(self.name == "wgan-gp")(*inputs)
        both = torch.cat([real, fake])
        if self.name == "wgan":
            yield -self.score(real)
            yield self.score(fake)
        elif self.name == "wgan-gp":
            epsilon = draw.uniform(1, 1, 1)
            between = (epsilon * real + (1 - epsilon) * fake).requires_grad_()
            scores = self.discriminator.forward(between)[0].sum()  # not compiled
            (slopes,) = torch.autograd.grad(scores, between, create_graph=True)
            penalty = (slopes.flatten(1).norm(dim=1) - 1).square().mean()
            of_real, of_fake = self.discriminator(both)[0].chunk(2)
            yield of_fake.mean() - of_real.mean() + PENALTY_WEIGHT * penalty
        else:
            source = torch.ones_like(real[:, 0, 0, :1])
            if labelled:
                conditions = [torch.cat([*labels, *conditions])]
            yield self.loss(both, torch.cat([source, 0 * source]), conditions)

    def loss(self, images, source, conditions) -> torch.Tensor:
        """Return the loss of images that are to be taken for `source`, and of the other heads.

        `conditions` are those of all images or of the last ones; the mean is of all, as Keras's.
        """
        score, *heads = self.discriminator(images, *(conditions if self.name == "cgan" else []))
        error = F.mse_loss if self.name == "lsgan" else F.binary_cross_entropy_with_logits
        loss = error(score, source)
        for head, wanted in zip(heads, conditions, strict=bool(heads)):
            share, head = len(wanted) / len(head), head[-len(wanted) :]
            if head.shape[1] > 1:
                loss += share * F.cross_entropy(head, wanted)
            else:
                loss += share * CODE_WEIGHT * F.mse_loss(torch.sigmoid(head), wanted)
        return loss

    def inputs(self, draw) -> list[torch.Tensor]:
        """Return noise, and what else the generator takes."""
        if self.name == "infogan":
            return [draw.noise(), *draw.codes()]
        return [draw.noise(), draw.labels()] if self.name in CONDITIONS else [draw.noise()]

    def score(self, images) -> torch.Tensor:
        return self.discriminator(images)[0].mean()


def keras_weights(net: nn.Module) -> list[torch.Tensor]:
    """Return a network's weights, in place, in the order and layout of Keras's `get_weights`."""
    axes = {1: (0,), 2: (1, 0), 4: (2, 3, 1, 0)}
    state = net.state_dict().values()
    return [weight.permute(axes[weight.ndim]) for weight in state if weight.ndim]


def train(args: argparse.Namespace) -> None:
    """Train all seeds, and write their files."""
    args.output_dir.mkdir(parents=True)  # another run isn't replaced
    with open(args.output_dir / "losses.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["seed", "step", "discriminator_loss", "adversarial_loss"])
        for seed in range(args.first_seed, args.first_seed + args.seeds):
            twin = Twin(args.gan, seed, args.precision, args.device)
            draw, losses = Draw(args.batch_size, seed, args.device), 0
            for step in range(1, args.steps + 1):
                losses += twin.step(draw)
                if step % WINDOW == 0:
                    writer.writerow([seed, step, *(losses / WINDOW).tolist()])
                    file.flush()
                    losses = 0
            weights = [weight.cpu().numpy() for weight in keras_weights(twin.generator)]
            np.savez(args.output_dir / f"generator_{seed}.npz", *weights)


def main() -> None:
    """Read the flags, and train."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--gan", choices=GANS, default="wgan", help="wgan")
    add("--seeds", type=int, default=1, help="how many (1)")
    add("--first-seed", type=int, default=1, help="1")
    add("--steps", type=int, default=40_000, help="of each seed (40000)")
    add("--batch-size", type=int, default=64, help="64")
    add("--precision", choices=("float32", "bfloat16"), default="float32", help="float32")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--output-dir", type=Path, default="wgan_torch", help="a new folder (wgan_torch)")
    train(parser.parse_args())


if __name__ == "__main__":
    main()
