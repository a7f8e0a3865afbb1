"""GANs of this collection in PyTorch, for comparison of speed on processors alone."""

from contextlib import nullcontext

from lib import data

import torch
from torch import nn
from torch.nn import functional as F

FEATURES = 4 * 4 * 256  # of the discriminator


def generator(inputs):
    """As gan.generator, image size 28, for inputs of that width."""
    modules = [nn.Linear(inputs, 7 * 7 * 128), nn.Unflatten(1, (128, 7, 7))]
    width = 128
    for filters, stride in ((128, 2), (64, 2), (32, 1), (1, 1)):
        modules += [nn.BatchNorm2d(width, eps=1e-3, momentum=0.01), nn.ReLU()]
        modules += [nn.ConvTranspose2d(width, filters, 5, stride, 2, output_padding=stride - 1)]
        width = filters
    return nn.Sequential(*modules, nn.Sigmoid())


class Heads(nn.Module):
    """InfoGAN's heads, without their activations: source, category and codes in a row."""

    def __init__(self):
        super().__init__()
        self.source = nn.Linear(FEATURES, 1)
        self.codes = nn.Sequential(nn.Linear(FEATURES, 128), nn.Linear(128, 10 + 1 + 1))

    def forward(self, x):
        return torch.cat([self.source(x), self.codes(x)], dim=1)


def discriminator(head):
    """As gan.discriminator, activation None, for images of 28 x 28; `head` takes FEATURES."""
    modules, width = [], 1
    for filters, stride in ((32, 2), (64, 2), (128, 2), (256, 1)):
        modules += [nn.LeakyReLU(0.2), nn.Conv2d(width, filters, 5, stride, 2)]
        width = filters
    return nn.Sequential(*modules, nn.Flatten(), head)


def step(name, precision, batch_size, variant, seed):
    """A function that makes one training step of `name`: wgan, lsgan, wgan-gp or infogan.

    Args:
        variant: eager; channels_last; or compiled, which is channels_last too.
    """
    torch.manual_seed(seed)
    layout = torch.contiguous_format if variant == "eager" else torch.channels_last
    x_train = torch.from_numpy(data.load()[0]).permute(0, 3, 1, 2)
    infogan = name == "infogan"
    head = Heads() if infogan else nn.Linear(FEATURES, 1)
    nets = generator(112 if infogan else 100), discriminator(head)
    g, d = (net.to(memory_format=layout) for net in nets)

    def optimizer(net, lr):
        if name == "wgan-gp":
            return torch.optim.Adam(net.parameters(), lr, betas=(0.0, 0.9), eps=1e-7, foreach=True)
        return torch.optim.RMSprop(net.parameters(), lr, alpha=0.9, eps=1e-7, foreach=True)

    rates = {"wgan": (5e-5, 5e-5), "wgan-gp": (1e-4, 1e-4)}.get(name, (1e-4, 2e-4))
    g_optimizer, d_optimizer = map(optimizer, (g, d), rates)
    draw, judge = (torch.compile(net) if variant == "compiled" else net for net in (g, d))
    bfloat16 = precision == "mixed_bfloat16"
    autocast = torch.autocast("cpu", torch.bfloat16) if bfloat16 else nullcontext()

    def noise():
        return torch.rand(batch_size, 100) * 2 - 1

    def real_images():
        rows = torch.randint(len(x_train), (batch_size,))
        return (x_train[rows].float() / 255).contiguous(memory_format=layout)

    def fake_images(inputs=None, training=False):
        g.train(training)
        with torch.no_grad(), autocast:
            images = draw(noise() if inputs is None else inputs).float()
        g.train()
        return images

    def update(optimizer, loss):
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    def scores(images):
        with autocast:
            return judge(images).float()

    def slopes(images):
        """Return the norm of the critic's gradient at each image."""

        def score(images):
            with autocast:
                return d(images).float().sum()

        return torch.func.grad(score)(images).flatten(1).norm(dim=1)

    # compiled as a whole: a compiled network has no gradient of its gradient
    slopes = torch.compile(slopes) if variant == "compiled" else slopes

    def wgan_step():
        for _ in range(5):
            real, fake = real_images(), fake_images()
            update(d_optimizer, -scores(real).mean())
            update(d_optimizer, scores(fake).mean())
            with torch.no_grad():
                for weight in d.parameters():
                    weight.clamp_(-0.01, 0.01)
        d.requires_grad_(False)
        with autocast:
            images = draw(noise())
        update(g_optimizer, -scores(images).mean())
        d.requires_grad_(True)

    def wgan_gp_step():
        for _ in range(5):
            real, fake = real_images(), fake_images(training=True)
            epsilon = torch.rand(batch_size, 1, 1, 1)
            penalty = (slopes(epsilon * real + (1 - epsilon) * fake) - 1).square().mean()
            of_real, of_fake = scores(torch.cat([real, fake])).chunk(2)
            update(d_optimizer, of_fake.mean() - of_real.mean() + 10 * penalty)
        d.requires_grad_(False)
        with autocast:
            images = draw(noise())
        update(g_optimizer, -scores(images).mean())
        d.requires_grad_(True)

    def lsgan_step():
        labels = torch.cat([torch.ones(batch_size, 1), torch.zeros(batch_size, 1)])
        images = torch.cat([real_images(), fake_images()])
        update(d_optimizer, nn.functional.mse_loss(scores(images), labels))
        d.requires_grad_(False)
        with autocast:
            images = draw(noise())
        update(g_optimizer, nn.functional.mse_loss(scores(images), labels[:batch_size]))
        d.requires_grad_(True)

    def info_inputs():
        """Draw noise with category and codes, for the generator to take in a row."""
        category = F.one_hot(torch.randint(10, (batch_size,)), 10)
        return torch.cat([noise(), category, torch.rand(batch_size, 2)], dim=1)

    def info_loss(outputs, real, inputs):
        """Return the loss of scores of images, the last of which were drawn from inputs."""
        source, (category, codes) = outputs[:, 0], outputs[-batch_size:, 1:].split((10, 2), dim=1)
        loss = F.binary_cross_entropy_with_logits(source, real)
        codes_loss = 2 * 2 * F.mse_loss(torch.sigmoid(codes), inputs[:, 110:])  # two codes' mean
        # of real and fake images half of V, so half of lambda L_I
        return loss + batch_size / len(outputs) * (
            F.cross_entropy(category, inputs[:, 100:110]) + codes_loss
        )

    def infogan_step():
        real = torch.cat([torch.ones(batch_size), torch.zeros(batch_size)])
        inputs = info_inputs()
        images = torch.cat([real_images(), fake_images(inputs)])
        update(d_optimizer, info_loss(scores(images), real, inputs))
        d.requires_grad_(False)
        inputs = info_inputs()
        with autocast:
            images = draw(inputs)
        update(g_optimizer, info_loss(scores(images), real[:batch_size], inputs))
        d.requires_grad_(True)

    steps = {"wgan": wgan_step, "lsgan": lsgan_step}
    return (steps | {"wgan-gp": wgan_gp_step, "infogan": infogan_step})[name]
