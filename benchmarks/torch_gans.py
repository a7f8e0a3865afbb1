"""WGAN and LSGAN of this collection in PyTorch, for comparison of speed on processors alone."""

from contextlib import nullcontext

from lib import data

import torch
from torch import nn


def generator():
    """As gan.generator, image size 28."""
    modules = [nn.Linear(100, 7 * 7 * 128), nn.Unflatten(1, (128, 7, 7))]
    width = 128
    for filters, stride in ((128, 2), (64, 2), (32, 1), (1, 1)):
        modules += [nn.BatchNorm2d(width, eps=1e-3, momentum=0.01), nn.ReLU()]
        modules += [nn.ConvTranspose2d(width, filters, 5, stride, 2, output_padding=stride - 1)]
        width = filters
    return nn.Sequential(*modules, nn.Sigmoid())


def discriminator():
    """As gan.discriminator, activation None, for images of 28 x 28."""
    modules, width = [], 1
    for filters, stride in ((32, 2), (64, 2), (128, 2), (256, 1)):
        modules += [nn.LeakyReLU(0.2), nn.Conv2d(width, filters, 5, stride, 2)]
        width = filters
    return nn.Sequential(*modules, nn.Flatten(), nn.Linear(4 * 4 * 256, 1))


def step(name, precision, batch_size, variant, seed):
    """A function that makes one training step of `name`, wgan or lsgan.

    Args:
        variant: eager; channels_last; or compiled, which is channels_last too.
    """
    torch.manual_seed(seed)
    layout = torch.contiguous_format if variant == "eager" else torch.channels_last
    x_train = torch.from_numpy(data.load()[0]).permute(0, 3, 1, 2)
    g, d = (net().to(memory_format=layout) for net in (generator, discriminator))
    rate = 5e-5 if name == "wgan" else 2e-4

    def rmsprop(net, lr):
        return torch.optim.RMSprop(net.parameters(), lr, alpha=0.9, eps=1e-7, foreach=True)

    g_optimizer, d_optimizer = rmsprop(g, rate if name == "wgan" else rate / 2), rmsprop(d, rate)
    draw, judge = (torch.compile(net) if variant == "compiled" else net for net in (g, d))
    bfloat16 = precision == "mixed_bfloat16"
    autocast = torch.autocast("cpu", torch.bfloat16) if bfloat16 else nullcontext()

    def noise():
        return torch.rand(batch_size, 100) * 2 - 1

    def real_images():
        rows = torch.randint(len(x_train), (batch_size,))
        return (x_train[rows].float() / 255).contiguous(memory_format=layout)

    def fake_images():
        g.eval()
        with torch.no_grad(), autocast:
            images = draw(noise()).float()
        g.train()
        return images

    def update(optimizer, loss):
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    def scores(images):
        with autocast:
            return judge(images).float()

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

    def lsgan_step():
        labels = torch.cat([torch.ones(batch_size, 1), torch.zeros(batch_size, 1)])
        images = torch.cat([real_images(), fake_images()])
        update(d_optimizer, nn.functional.mse_loss(scores(images), labels))
        d.requires_grad_(False)
        with autocast:
            images = draw(noise())
        update(g_optimizer, nn.functional.mse_loss(scores(images), labels[:batch_size]))
        d.requires_grad_(True)

    return {"wgan": wgan_step, "lsgan": lsgan_step}[name]
