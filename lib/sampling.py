"""What a trained generator is used for: pictures, scores, a data set, a window to play in."""

import json
from argparse import Namespace
from pathlib import Path

from lib import data, evaluation, files, gan, generator_file, memory, pictures
from lib.errors import UserError
from lib.tf import keras

import numpy as np

ROOT = Path(__file__).parents[1]


def use_generator(params: Namespace, conditional: bool) -> None:
    """Draw a picture with the --generator of the flags, or do what else they ask.

    Args:
        params: the flags; a file in pretrained/ is found from any folder.
        conditional: whether the script's generators draw a digit of choice.

    Raises:
        UserError: no such generator, or one that can't do this.
    """
    path = Path(params.generator)
    if path.parts[:1] == ("pretrained",) and not path.exists():
        path = ROOT / path
    generator = generator_file.load(path, conditional)
    output = Path(params.output_dir, "test_outputs", path.stem)  # what files' names begin with
    if params.evaluate:
        if (other := generator_file.training_data(path)) and not params.against_mnist:
            raise UserError(
                f"{path} was trained on {other}, and scores compare with MNIST's digits: add "
                "--against-mnist if that is what you want"
            )
        evaluate(generator, output, params)
    elif params.explore:
        from lib.explore import explore  # here: it loads matplotlib's toolkits

        need = memory.of_sampling(generator, 16, memory.PICTURE)
        memory.require(need, "--explore", "take a smaller generator")
        explore(generator, params.seed, output.parent)
    elif params.npz:
        write_dataset(generator, params)
    else:
        draw(generator, output, params)


def draw(generator: keras.Model, output: Path, params: Namespace) -> None:
    """Save a grid of images, and show it where there is a display."""
    count = params.count or 16
    memory.require_for_sampling(generator, count, memory.PICTURE)
    path = gan.test_generator(
        generator,
        count=count,
        class_label=params.digit,
        seed=params.seed,
        interpolate=bool(params.interpolate),
        show=False,
        model_name=output.name,
        output_dir=output.parent,
    )
    if params.interpolate:
        from lib.walk import write_walk

        length = f"_{params.seconds}s" if params.seconds else ""
        animation = path.with_name(f"{path.stem}{length}_walk.gif")
        animation = write_walk(generator, animation, params.seconds or 8, params.seed, params.digit)
        print(f"saved {animation}", flush=True)
    pictures.open_window(path)


def evaluate(generator: keras.Model, output: Path, params: Namespace) -> None:
    """Print the generator's scores beside those of training images, and write them as JSON."""
    evaluation.require_mnist(generator)
    memory.require_for_scoring("score elsewhere")
    output.parent.mkdir(parents=True, exist_ok=True)
    with files.temporary_beside(output) as temporary:
        temporary.touch()  # what can't be written is told before all is scored
    print("scoring 10,000 images, which takes a minute or two", flush=True)
    rows = {
        output.name: evaluation.evaluate(generator, params.seed),
        "training images": evaluation.evaluate_real(params.seed),
    }
    print(evaluation.table(rows))
    path = output.with_name(f"{output.name}_scores_seed{params.seed}.json")
    scores = json.dumps({"seed": params.seed} | rows, indent=2) + "\n"
    print(f"saved {files.write_new(path, scores.encode())}")


def write_dataset(generator: keras.Model, params: Namespace) -> None:
    """Write drawn images in MNIST's layout, which --data takes.

    x_train is uint8 (count, side, side); y_train the digits asked for, int64 (count,), where the
    generator takes any.
    """
    path = Path(params.npz)
    exists = UserError(f"{path} exists: remove it, or give --npz another name")
    if path.exists():
        raise exists
    count = params.count or 10_000
    memory.require_for_sampling(generator, count, memory.ARRAY)
    inputs = data.sample_inputs(generator, count, params.digit, params.seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.temporary_beside(path) as temporary:
        temporary.touch()  # what can't be written is told before images are drawn
        images = gan.draw_images(generator, inputs)
        arrays = {"x_train": np.rint(255 * images[..., 0]).astype(np.uint8)}
        if len(inputs) > 1:
            arrays["y_train"] = np.argmax(inputs[1], axis=1)
        np.savez_compressed(temporary, **arrays)
        if not files.link_new(temporary, path):  # another sampler's, meanwhile
            raise exists
    print(f"saved {len(images):,} images in {path}\n--seed={params.seed} draws them again")
