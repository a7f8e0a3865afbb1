"""Each script's own training against the chapter's listing on Keras 2.

Both start from equal weights and get equal draws. After 8 steps, the distance between the
two end points is set against the distance that the listing moved.
"""

import csv
import gc
import os

from lib import data

import keras2_listings
import numpy as np
import pytest
from helpers import CONDITIONAL, script
from tensorflow import keras

STEPS = 8
BATCH = int(os.environ.get("FIDELITY_BATCH", "16"))  # docs/fidelity.md tells of 64


def draws(name, params, dataset):
    """Return what the script draws, in its order: a list of batches for each kind."""
    draw = data.Sampler(params, dataset)
    draw.noise(16)  # of the sample grid
    kinds = {"images": [], "image_labels": [], "noise": [], "labels": []}

    def noise():
        kinds["noise"].append(draw.noise().numpy())
        if name in CONDITIONAL:
            kinds["labels"].append(draw.labels().numpy())

    for _ in range(STEPS):
        for _ in range(getattr(params, "n_critic", 1)):
            images, labels = draw.labelled_images()
            kinds["images"].append(images.numpy())
            kinds["image_labels"].append(labels.numpy())
            noise()
        noise()
    return kinds


def flat(weights):
    return np.concatenate([weight.ravel() for weight in weights])


def relative_distance(ours, theirs, origin):
    return np.linalg.norm(ours - theirs) / np.linalg.norm(theirs - origin)


def compare(name, flags, folder, dataset):
    """Return the relative distances of generator, discriminator (WGAN: its biases) and losses."""
    module = script(name)
    own = [f"--train-steps={STEPS}", f"--batch-size={BATCH}", "--log-interval=1", "--seed=7"]
    params = module.parser.parse_args([*own, f"--output-dir={folder}", *flags])
    keras.utils.set_random_seed(params.seed)
    models = module.build_models(params, dataset)
    generator, discriminator, _ = models
    for weight in discriminator.trainable_weights:
        if weight.path.endswith("bias"):  # far enough from 0 for clipping to matter
            weight.assign(keras.random.uniform(weight.shape, -0.02, 0.02, seed=1))
    start = generator.get_weights(), discriminator.get_weights()
    listing = keras2_listings.train(
        name, start, draws(name, params, dataset), STEPS, "--batch-norm" in flags
    )
    module.train(models, dataset, params)
    end = generator.get_weights(), discriminator.get_weights()
    triples = zip(end, listing[:2], start, strict=True)
    result = {
        part: relative_distance(*map(flat, triple))
        for part, triple in zip(("generator", "discriminator"), triples, strict=True)
    }
    if name == "wgan" and not flags:
        result["biases"] = relative_distance(
            *(flat(weights[1][1::2]) for weights in (end, listing, start))
        )
    with open(folder / f"{name}_mnist" / "history.csv") as file:
        rows = list(csv.DictReader(file))
    losses = [key for key in rows[0] if key.endswith("loss")]
    for key, theirs in zip(losses, listing[2].T, strict=True):
        ours = np.array([float(row[key]) for row in rows])
        result[key] = relative_distance(ours, theirs, 0)
    return result


@pytest.fixture(autouse=True)
def forget_networks():
    """Give memory back, of which seven pairs of networks would take 2 GiB."""
    yield
    keras.utils.clear_session()
    keras2_listings.backend.clear_session()
    gc.collect()


@pytest.mark.parametrize(
    "name, flags",
    [
        ("dcgan", []),
        ("cgan", []),
        ("wgan", []),
        ("lsgan", []),
        ("acgan", []),
        ("dcgan", ["--batch-norm"]),
        ("wgan", ["--batch-norm"]),
    ],
)
def test_training_is_the_chapters(name, flags, tmp_path, some_mnist):
    result = compare(name, flags, tmp_path, some_mnist)
    print(name, *flags, {key: round(float(value), 4) for key, value in result.items()})
    assert result.pop("discriminator") <= 0.005
    # Rounding, which RMSprop's first steps blow up for tiny gradients: up to 0.010 on a processor
    # with AVX-512, 0.017 on one without, there 0.041 if oneDNN is off. A changed algorithm gave
    # 0.149 and more.
    assert result.pop("generator") <= 0.08
    assert result.pop("biases", 0) <= 0.005
    assert max(result.values()) <= 0.005, result
