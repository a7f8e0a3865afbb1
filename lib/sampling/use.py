"""What --generator does: draws a picture, scores, writes a data set, opens a window."""

import json
from argparse import Namespace
from pathlib import Path

from lib import data, gan, pictures
from lib.generator_file import Stored
from lib.plumbing import files
from lib.plumbing.errors import UserError
from lib.plumbing.tf import keras
from lib.sampling.load import check_use, load
from lib.sampling.neighbors import draw_neighbors
from lib.scoring import evaluation
from lib.scoring.table import table

import numpy as np


def use_generator(params: Namespace, inputs: int) -> None:
    """Draw a picture with the --generator of the flags, or do what else they ask.

    Args:
        params: the flags.
        inputs: how many the script's generators take.

    Raises:
        UserError: no such generator, or one that can't do this.
    """
    path = Path(params.generator)
    generator, stored = load(path)
    check_use(path, stored, inputs)
    label_word = data.input_widths(generator).word
    digit = digit_of(params.digit, stored, label_word)
    picture = Path(params.output_dir, "test_outputs", path.stem)  # what files' names begin with
    against_mnist = params.evaluate or params.neighbors
    if against_mnist and stored.source and not params.against_mnist:
        raise UserError(
            f"{path} was trained on {stored.source}, and this compares with MNIST's digits: "
            "add --against-mnist if that is what you want"
        )
    if params.neighbors:
        word = "" if digit is None else f"{label_word}{params.digit}_"
        name = picture.with_name(f"{picture.name}_neighbors_{word}seed{params.seed}.png")
        pictures.show(draw_neighbors(generator, name, digit, params.seed))
    elif params.evaluate:
        evaluate(generator, picture, params.seed)
    elif params.explore:
        from lib.sampling.explore import explore  # here: it loads matplotlib's toolkits

        explore(generator, params.seed, picture.parent, stored.classes)
    elif params.npz:
        path, count = Path(params.npz), params.count or 10_000
        write_dataset(generator, path, count, digit, params.seed, stored.classes)
    else:
        draw(generator, picture, params, digit, stored.classes)


def digit_of(text: str | None, stored: Stored, word: str) -> int | None:
    """Return which of a generator's labels a text names, as its data did; `word` is what they are.

    Raises:
        UserError: it names none.
    """
    if text is None:
        return None
    names = [str(name) for name in stored.classes or range(stored.widths[1])]
    if text not in names:
        choice = ", ".join(names) if len(names) <= 30 else f"{names[0]} to {names[-1]}"
        raise UserError(f"{word} {text} is unknown here: choose from {choice}")
    return names.index(text)


def draw(generator: keras.Model, picture: Path, params: Namespace, digit, classes: list) -> None:
    """Save a grid of images, and show it where there is a display."""
    path = gan.test_generator(
        generator,
        count=params.count or 16,
        class_label=digit,
        seed=params.seed,
        interpolate=params.interpolate,
        show=False,
        model_name=picture.name,
        output_dir=picture.parent,
        classes=classes,
        codes=(params.code1, params.code2),
    )
    if params.interpolate:
        from lib.sampling.walk import write_walk

        length = f"_{params.seconds}s" if params.seconds else ""
        animation = path.with_name(f"{path.stem}{length}_walk.gif")
        seconds, codes = params.seconds or 8, (params.code1, params.code2)
        animation = write_walk(generator, animation, seconds, params.seed, digit, codes)
        print(f"saved {animation}", flush=True)
    pictures.show(path)


def evaluate(generator: keras.Model, picture: Path, seed: int) -> None:
    """Print the generator's scores beside those of training images, and write them as JSON."""
    evaluation.require_mnist(generator)
    print("scoring 10,000 images, which takes a minute or two", flush=True)
    rows = {
        picture.name: evaluation.evaluate(generator, seed),
        "training images": evaluation.evaluate_real(seed),
    }
    print(table(rows))
    path = picture.with_name(f"{picture.name}_scores_seed{seed}.json")
    scores = json.dumps({"seed": seed} | rows, indent=2) + "\n"
    print(f"saved {files.write_new(path, scores.encode())}")


def write_dataset(
    generator: keras.Model, path: Path, count: int, digit: int | None, seed: int, classes: list = ()
) -> None:
    """Write drawn images in MNIST's layout, which --data takes.

    x_train is uint8 (count, side, side); y_train the digits asked for, or the classes as the data
    named them, (count,), where the generator takes any.

    Raises:
        UserError: the file exists.
    """
    try:
        with files.atomic(path, new=True) as temporary:
            inputs = data.sample_inputs(generator, count, digit, seed)
            images = gan.draw_images(generator, inputs)
            arrays = {"x_train": pictures.to_uint8(images[..., 0])}
            if len(inputs) > 1:
                columns = np.argmax(inputs[1], axis=1)
                arrays["y_train"] = np.array(classes)[columns] if classes else columns
            np.savez_compressed(temporary, **arrays)
    except FileExistsError as error:
        raise UserError(f"{path} exists: remove it, or give --npz another name") from error
    print(f"saved {len(images):,} images in {path}\n--seed={seed} draws them again")
