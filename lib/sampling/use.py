"""What --generator does: draws a picture, scores, writes a data set, opens a window."""

import json
import os
import re
from argparse import Namespace
from pathlib import Path

from lib import data, gan, pictures
from lib.generator import Generator, plain
from lib.plumbing import files
from lib.plumbing.errors import UserError
from lib.sampling.neighbors import draw_neighbors
from lib.sampling.walk import write_walk
from lib.scoring import evaluation
from lib.scoring.table import table

import numpy as np
from PIL import Image

# What generators with labels, and with so many codes, do, and whose they are.
KINDS = {
    (False, 0): (
        "draws from noise alone",
        "wgan-mnist.py, lsgan-mnist.py, dcgan-mnist.py, wgan-gp-mnist.py",
    ),
    (True, 0): ("draws a class of choice", "acgan-mnist.py, cgan-mnist.py"),
    (True, 2): ("takes a category and two codes", "infogan-mnist.py"),
}


def use_generator(params: Namespace, conditional: bool, num_codes: int) -> None:
    """Draw a picture with the --generator of the flags, or do what else they ask.

    The script's generators take labels if `conditional`, and `num_codes` codes.

    Raises:
        UserError: no such generator, or one that can't do this.
    """
    path = Path(params.generator)
    generator = Generator.load(path)
    kind = bool(generator.num_labels), generator.num_codes
    if kind != (conditional, num_codes):
        what, scripts = KINDS.get(kind, ("takes other inputs", "the script that trained it"))
        raise UserError(f"{path} {what}: sample from it with {scripts}")
    generator.label(params.digit)  # refused before anything is drawn
    picture = Path(params.output_dir, "test_outputs", path.stem)  # what files' names begin with
    if params.neighbors:
        word = "" if params.digit is None else f"{generator.label_word}{plain(params.digit)}_"
        name = picture.with_name(f"{picture.name}_neighbors_{word}seed{params.seed}.png")
        dataset = comparison(generator, params, labels=False)
        pictures.show(draw_neighbors(generator, name, params.digit, params.seed, dataset))
    elif params.evaluate:
        evaluate(generator, picture, params)
    elif params.explore:
        from lib.sampling.explore import explore  # here: it loads matplotlib's toolkits

        explore(generator, params.seed, picture.parent)
    elif params.npz or params.images:
        inputs = generator.inputs(params.count or 10_000, params.seed, params.digit)
        if params.npz:
            write_dataset(generator, Path(params.npz), inputs)
        else:
            write_images(generator, Path(params.images), inputs)
        print(f"--seed={params.seed} draws them again")
    else:
        draw(generator, picture, params)


def draw(generator: Generator, picture: Path, params: Namespace) -> None:
    """Save a grid of images, and show it where there is a display."""
    codes = [params.code1, params.code2][: generator.num_codes]
    path = gan.test_generator(
        generator,
        params.digit,
        count=params.count or 16,
        seed=params.seed,
        interpolate=params.interpolate,
        codes=codes,
        show=False,
        model_name=picture.name,
        output_dir=picture.parent,
    )
    if params.interpolate:
        length = f"_{params.seconds}s" if params.seconds else ""
        walk = path.with_name(f"{path.stem}{length}_walk.gif")
        held = {"label": params.digit, "codes": codes}
        walk = write_walk(generator, walk, params.seconds or 8, params.seed, **held)
        print(f"saved {walk}", flush=True)
    pictures.show(path)


def comparison(generator: Generator, params: Namespace, labels: bool) -> data.Dataset:
    """Load what the flags compare with, at the size and in the colour that the generator draws.

    Raises:
        UserError: they say nothing, and it wasn't trained on MNIST; or as `data.load`.
    """
    if generator.source and not params.data:
        raise UserError(
            f"{params.generator} was trained on {generator.source}: give these as --data, or add "
            "--data=mnist to compare with MNIST"
        )
    _, side, _, channels = generator.model.output_shape
    return data.load(params.data, side, channels == 1, labels)


def evaluate(generator: Generator, picture: Path, params: Namespace) -> None:
    """Print the generator's scores beside those of training images, and write them as JSON."""
    dataset = comparison(generator, params, labels=True)
    reference = evaluation.reference_for(generator, dataset, params)
    print(f"scoring {len(reference.labels):,} images, which takes a minute or two", flush=True)
    rows = {
        picture.name: evaluation.evaluate(generator, params.seed, reference=reference),
        "training images": evaluation.evaluate_real(params.seed, reference=reference),
    }
    print(table(rows, reference))
    path = picture.with_name(f"{picture.name}_scores_seed{params.seed}.json")
    told = {"seed": params.seed, "compared_with": str(reference)}
    scores = json.dumps(told | rows, indent=2) + "\n"
    print(f"saved {files.write_new(path, scores.encode())}")


def write_dataset(generator: Generator, path: Path, inputs: list[np.ndarray]) -> None:
    """Write images that a generator draws in MNIST's layout, which --data takes.

    x_train is uint8 (N, side, side), y_train the classes as the data named them, (N,), where the
    generator takes any.

    Raises:
        UserError: the file exists.
    """
    try:
        with files.atomic(path, new=True) as temporary:
            arrays = {"x_train": pictures.to_uint8(generator.draw(inputs))}
            if arrays["x_train"].shape[3] == 1:
                arrays["x_train"] = arrays["x_train"][..., 0]
            if generator.num_labels:
                labels = np.argmax(inputs[1], axis=1)
                classes = generator.classes
                arrays["y_train"] = np.array(classes)[labels] if classes else labels
            np.savez_compressed(temporary, **arrays)
    except FileExistsError as error:
        raise UserError(f"{path} exists: remove it, or give --npz another name") from error
    print(f"saved {len(inputs[0]):,} images in {path}")


def write_images(generator: Generator, path: Path, inputs: list[np.ndarray]) -> None:
    """Write images that a generator draws as PNGs of their size, in a folder that --data takes.

    Each class has a sub-folder, named after it as far as file systems allow.

    Raises:
        UserError: the folder exists.
    """
    if os.path.lexists(path):
        raise UserError(f"{path} exists: remove it, or give --images another name")
    names = [re.sub(r"^\W|[^\w .-]", "_", name) for name in generator.names]
    if len({name.casefold() for name in names}) < len(names):
        names = [f"{number}_{name}" for number, name in enumerate(names)]
    folders = [names[label] for label in np.argmax(inputs[1], axis=1)] if names else None
    with files.atomic(path) as temporary:
        for name in {*names} or {""}:
            (temporary / name).mkdir(parents=True)
        for number, image in enumerate(pictures.to_uint8(generator.draw(inputs))):
            image = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
            image.save(temporary / (folders[number] if folders else "") / f"{number:05}.png")
    print(f"saved {len(inputs[0]):,} images in {path}{os.sep}")
