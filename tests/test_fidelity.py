"""Each script's own step against the chapter's listing on Keras 2.

Both start from equal weights and get equal draws. After 8 steps, the distance between the
two end points is compared with the distance that the listing moved.
"""

import subprocess
import sys
from pathlib import Path

from lib import data

import numpy as np
import pytest
from conftest import script

STEPS = 8


def draws(name, params, x_train, y_train):
    """What the script will draw, an array of batches for each kind."""
    draw = data.Sampler(params, x_train, y_train)
    draw.noise(16)  # the sample grid
    found = {"images": [], "image_labels": [], "noise": [], "labels": []}

    def images():
        batch, labels = draw.labelled_images()
        found["images"].append(batch)
        found["image_labels"].append(labels)

    def noise():
        found["noise"].append(draw.noise())
        if name in ("cgan", "acgan"):
            found["labels"].append(draw.labels())

    for _ in range(STEPS):
        for _ in range(5 if name == "wgan" else 1):
            images()
            noise()
        noise()
    return found


def distance(ours, theirs, start):
    """How far apart the two ended, over how far the second one went."""
    flat = [np.concatenate([w.ravel() for w in weights]) for weights in (ours, theirs, start)]
    ours, theirs, start = flat
    return np.linalg.norm(ours - theirs) / np.linalg.norm(theirs - start)


def compare(name, options, folder, mnist):
    """Distances of discriminator and generator, and of the reported figures."""
    x_train, y_train = mnist
    module = script(name)
    params = module.parser().parse_args(
        ["--train-steps", str(STEPS), "--log-interval", "1", "--seed", "7", *options]
        + ["--output-dir", str(folder)]
    )
    import keras

    keras.utils.set_random_seed(params.seed)
    labels = {"y_train": y_train} if name in ("cgan", "acgan") else {}
    models = module.build_models(params, 28, *([10] if labels else []))
    start = [model.get_weights() for model in models[:2]]
    arrays = {
        f"{prefix}_{i}": weight
        for prefix, weights in zip(("generator", "discriminator"), start, strict=True)
        for i, weight in enumerate(weights)
    }
    np.savez(folder / "start.npz", steps=STEPS, **arrays, **draws(name, params, *mnist))
    listing = Path(__file__).with_name("keras2_listings.py")
    subprocess.run(
        [sys.executable, listing, "".join([name, *options]).replace("--batch-norm", "-batch_norm")]
        + [folder / "start.npz", folder / "end.npz"],
        check=True,
    )

    train = getattr(module, "train", module.gan.train)
    train(models, x_train, *labels.values(), params)

    end = np.load(folder / "end.npz")
    result = {}
    for model, prefix, before in zip(models, ("generator", "discriminator"), start, strict=False):
        theirs = [end[f"{prefix}_{i}"] for i in range(len(before))]
        result[prefix] = distance(model.get_weights(), theirs, before)
    history = np.genfromtxt(folder / f"{name}_mnist" / "history.csv", delimiter=",", names=True)
    print(history.dtype.names)
    ours = np.stack([history[n] for n in history.dtype.names[1:]], axis=1)
    print(ours, end["figures"])
    return result


@pytest.mark.parametrize(
    "name, options",
    [
        ("lsgan", []),
        ("dcgan", []),
        ("cgan", []),
        ("acgan", []),
        ("wgan", []),
        ("wgan", ["--batch-norm"]),
        ("dcgan", ["--batch-norm"]),
    ],
)
def test_fidelity(name, options, tmp_path, mnist):
    result = compare(name, options, tmp_path, mnist)
    print(name, result)
