"""The window to play in, by real mouse events on a canvas without a window."""

from lib import gan
from lib.generator import Generator
from lib.plumbing.errors import UserError
from lib.sampling import explore

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.backend_bases import MouseButton, MouseEvent
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from tensorflow import keras
from tensorflow.keras import layers

SIZE, SIDE = 12, 8  # of the noise, and of the images
OWL = [*"abcdefgh", "snow owl/2", "j"]  # classes


def toy(kind: str) -> Generator:
    """Return a generator of images of which the first layer hides, or is the chapter's."""
    keras.utils.set_random_seed(4)
    noise, labels, code = keras.Input((SIZE,)), keras.Input((10,)), keras.Input((1,))
    if kind == "chapter":
        model = gan.generator(noise, SIDE, labels=labels, codes=[code, keras.Input((1,))])
        *_, last = [layer for layer in model.layers if layer.weights]
        last.kernel.assign(50 * last.kernel)  # untrained, all pixels would be nearly the same grey
        return Generator(model)
    colours = [layers.Dense(SIDE * SIDE * 3, "tanh"), layers.Reshape((SIDE, SIDE, 3))]
    if kind == "nested":
        inner = [keras.Input((SIZE,)), layers.BatchNormalization(), layers.Dense(16, name="first")]
        model = keras.Sequential([keras.Input((SIZE,)), keras.Sequential(inner), *colours])
        return Generator(model, noise="normal")
    if kind == "labels first":
        first = layers.SpectralNormalization(layers.Dense(16, name="first"))
        x = layers.Concatenate()([layers.Dense(20)(labels), first(0.5 * noise)])
    elif kind == "convolution":
        x = layers.Reshape((1, 1, SIZE))(noise)
        x = layers.Conv2DTranspose(16, 4, name="first")(x)
        x = layers.Concatenate()([layers.Flatten()(x), labels])
    for layer in colours:
        x = layer(x)
    return Generator(keras.Model([noise, labels], x), OWL, "owls", image_range=(-1, 1))


KINDS = "chapter", "nested", "labels first", "convolution"


@pytest.fixture
def generator(request):
    return toy(getattr(request, "param", "chapter"))


@pytest.fixture
def explorer(generator, tmp_path):
    figure = Figure(figsize=np.divide(explore.SIZE, explore.DPI), dpi=explore.DPI)
    FigureCanvasAgg(figure)
    return explore.Explorer(figure, generator, 1, tmp_path / "saved")


def mouse(axes, *places):
    """Press at the first of some places in the axes, from (0, 0) to (1, 1); move; release."""
    canvas = axes.figure.canvas
    names = "button_press", *len(places) * ["motion_notify"], "button_release"
    for name, place in zip(names, [places[0], *places, places[-1]], strict=True):
        x, y = axes.transAxes.transform(place)
        event = MouseEvent(f"{name}_event", canvas, x, y, MouseButton.LEFT)
        canvas.callbacks.process(event.name, event)


def on_screen(explorer, picture, side):
    """Return the colours on the canvas at the middles of a picture's pixels: (side, side, 3)."""
    explorer.figure.canvas.draw()
    canvas = np.asarray(explorer.figure.canvas.buffer_rgba())[..., :3].astype(int)
    left, bottom, width, _ = np.rint(picture.axes.bbox.bounds).astype(int)
    top, pixel = len(canvas) - bottom - width, width // side
    return canvas[top : top + width, left : left + width][pixel // 2 :: pixel, pixel // 2 :: pixel]


def check_screen(explorer, noise, label=0, codes=(0.5, 0.5), chosen=0):
    """Check that both pictures on the canvas are what the generator draws from the noise."""
    generator = explorer.generator
    images = 255 * generator.draw(generator.feed(noise, label, codes[: generator.num_codes]))
    large = on_screen(explorer, explorer.large, SIDE)
    np.testing.assert_allclose(large, np.broadcast_to(images[chosen], large.shape), atol=2)
    grid = on_screen(explorer, explorer.grid, 4 * SIDE).reshape(4, SIDE, 4, SIDE, 3)
    tiles = grid.swapaxes(1, 2).reshape(16, SIDE, SIDE, 3)[:, 1:-1, 1:-1]  # a frame is round one
    images = np.broadcast_to(images, (16, SIDE, SIDE, 3))[:, 1:-1, 1:-1]
    np.testing.assert_allclose(tiles, images, atol=2)


@pytest.mark.parametrize("generator", KINDS, indirect=True)
def test_directions_change_the_first_layer_most(generator):
    directions = explore.latent_directions(generator, 8)
    np.testing.assert_allclose(directions @ directions.T, np.eye(8), atol=1e-5)
    found = {layer.name: layer for layer in generator.model._flatten_layers()}
    first = found.get("first") or next(
        layer for layer in generator.model.layers if isinstance(layer, layers.Dense)
    )
    kernel = first.kernel.numpy()
    matrix = np.moveaxis(kernel, -1, 0) if kernel.ndim == 4 else kernel
    matrix = matrix.reshape(len(matrix), -1)[:SIZE]
    strengths = np.linalg.norm(directions @ matrix, axis=1)
    ratio = strengths / np.linalg.svd(matrix, compute_uv=False)[:8]
    np.testing.assert_allclose(ratio, 1, rtol=1e-4)


def test_a_network_without_such_a_layer(tmp_path):
    noise = keras.Input((48,))
    image = layers.Reshape((4, 4, 3))(layers.BatchNormalization()(noise))
    with pytest.raises(UserError, match="the first layer that multiplies noise by a kernel"):
        explore.latent_directions(Generator(keras.Model(noise, image)), 8)


@pytest.mark.parametrize("generator", KINDS, indirect=True)
def test_play(explorer, generator, tmp_path):
    noise, codes, sliders = explorer.noise, [0.5, 0.5], explorer.sliders
    check_screen(explorer, noise)
    start = len(codes) if generator.num_codes else 0
    deviation = 1 if generator.noise == "normal" else 3**-0.5
    for index, end, sign in (start + 1, 0.8, 1), (start + 5, 0.1, -1):
        mouse(sliders[index].ax, (0.5, 0.5), (end, 0.5))
        assert 1.5 < sign * sliders[index].val < 3
        directions = explore.latent_directions(generator, 8)
        noise = noise + deviation * sliders[index].val * directions[index - start]
        check_screen(explorer, noise)
    if generator.num_codes:
        mouse(sliders[1].ax, (0.5, 0.5), (0.8, 0.5))
        codes[1] = sliders[1].val
        assert codes[1] == pytest.approx(0.8, abs=0.02)
    label = 8 if generator.num_labels else 0
    if label:
        mouse(explorer.labels[label].ax, (0.5, 0.5))
    mouse(explorer.grid.axes, (0.9, 0.6))
    check_screen(explorer, noise, label, codes, chosen=7)

    new_noise, reset, save = [button.ax for button in explorer.actions]
    saved = tmp_path / "saved"
    for _ in range(2):
        mouse(save, (0.5, 0.5))
    word = "" if not label else "_category8" if generator.num_codes else "_classsnow_owl_2"
    names = [
        f"explore{word}_{number}.{kind}" for number in ("001", "002") for kind in ("npy", "png")
    ]
    assert sorted(path.name for path in saved.iterdir()) == names
    inputs = np.split(np.load(saved / names[0]), [SIZE], axis=1)
    image = generator.draw(generator.feed(inputs[0], label, inputs[1][0]))[0]
    picture = np.asarray(Image.open(saved / names[1]), int)[::10, ::10]
    np.testing.assert_allclose(picture.reshape(image.shape), 255 * image, atol=1)

    mouse(reset, (0.5, 0.5))
    check_screen(explorer, explorer.noise, label, chosen=7)
    before = explorer.noise
    mouse(new_noise, (0.5, 0.5))
    assert (explorer.noise != before).all()
    check_screen(explorer, explorer.noise, label, chosen=7)


def test_save_where_nothing_can_be_written(explorer, tmp_path):
    (tmp_path / "saved").write_text("a file, no folder")
    mouse(explorer.actions[-1].ax, (0.5, 0.5))
    assert explorer.text.get_text().startswith("not saved: ")


BROKEN_TOOLKIT = """
from matplotlib.backends.backend_agg import FigureCanvasAgg

class FigureCanvas(FigureCanvasAgg):
    @classmethod
    def new_manager(cls, figure, num):
        raise RuntimeError("no screen")
"""


@pytest.mark.parametrize(
    "backend, message",
    [
        ("agg", "it needs a display"),
        ("module://matplotlib_inline.backend_inline", "in a notebook, ipympl"),
        ("module://broken_toolkit", "no screen"),
    ],
)
def test_no_window(backend, message, generator, tmp_path, monkeypatch):
    (tmp_path / "broken_toolkit.py").write_text(BROKEN_TOOLKIT)
    monkeypatch.syspath_prepend(tmp_path)
    plt.switch_backend(backend)
    try:
        with pytest.raises(UserError, match=message):
            explore.explore(generator, 1, tmp_path)
    finally:
        plt.switch_backend("agg")


def test_too_much(tmp_path):
    noise = keras.Input((explore.MAX_LATENT_SIZE + 1,))
    with pytest.raises(UserError, match="latent spaces of up to 4,000 dimensions"):
        explore.explore(Generator(gan.generator(noise, 4)), 1, tmp_path)
    model = gan.generator(keras.Input((4,)), 4, labels=keras.Input((31,)))
    with pytest.raises(UserError, match="a button for each digit, and room for 30"):
        explore.explore(Generator(model), 1, tmp_path)
