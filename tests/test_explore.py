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
CLASSES = [*"abcdefgh", "Snow owl/2", "j"]


def build(kind):
    """Build the chapter's generator with codes, or one whose first layer isn't where it was.

    Return it, and its first layer that multiplies noise by a kernel.
    """
    keras.utils.set_random_seed(4)
    noise, labels = keras.Input((SIZE,)), keras.Input((10,))
    if kind == "chapter":
        codes = [keras.Input((1,)), keras.Input((1,))]
        model = gan.generator(noise, SIDE, labels=labels, codes=codes)
        first, *_, last = [layer for layer in model.layers if hasattr(layer, "kernel")]
        last.kernel.assign(50 * last.kernel)  # untrained, all pixels would be nearly the same grey
        return Generator(model), first
    first = layers.Conv2DTranspose(16, 4) if kind == "convolution" else layers.Dense(16)
    colours = [layers.Dense(SIDE * SIDE * 3, "tanh"), layers.Reshape((SIDE, SIDE, 3))]
    if kind == "nested":
        inner = keras.Sequential([keras.Input((SIZE,)), layers.Rescaling(2), first])
        model = keras.Sequential([keras.Input((SIZE,)), inner, *colours])
        return Generator(model, noise="normal", image_range=(-1, 1)), first
    if kind == "convolution":
        x = layers.Flatten()(first(layers.Reshape((1, 1, SIZE))(noise)))
    else:
        x = layers.SpectralNormalization(first)(noise)
    x = layers.Concatenate()([layers.Dense(20)(labels), x])
    model = keras.Model([noise, labels], colours[1](colours[0](x)))
    return Generator(model, CLASSES, "own data", image_range=(-1, 1)), first


@pytest.fixture(params=["chapter"])
def generator(request):
    return build(request.param)[0]


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


@pytest.mark.parametrize("kind", ["chapter", "nested", "labels first", "convolution"])
def test_directions_change_the_first_layer_most(kind):
    generator, first = build(kind)
    directions = explore.latent_directions(generator, 8)
    np.testing.assert_allclose(directions @ directions.T, np.eye(8), atol=1e-5)
    kernel = first.kernel.numpy()
    kernel = kernel.transpose(3, 0, 1, 2).reshape(SIZE, -1) if kernel.ndim == 4 else kernel[:SIZE]
    changes = np.linalg.norm(directions @ kernel, axis=1)
    np.testing.assert_allclose(changes, np.linalg.svd(kernel, compute_uv=False)[:8], rtol=1e-4)


def test_a_network_without_such_a_layer(tmp_path):
    noise = keras.Input((48,))
    image = layers.Reshape((4, 4, 3))(layers.BatchNormalization()(noise))
    with pytest.raises(UserError, match="the first layer that multiplies noise by a kernel"):
        explore.latent_directions(Generator(keras.Model(noise, image)), 8)


@pytest.mark.parametrize("generator", ["chapter", "nested", "labels first"], indirect=True)
def test_play(explorer, generator, tmp_path):
    noise, first, codes = explorer.noise, generator.num_codes, [0.5, 0.5]
    check_screen(explorer, noise)
    directions = explore.latent_directions(generator, 8)
    for index, end, sign in (1, 0.8, 1), (5, 0.1, -1):
        slider = explorer.sliders[first + index]
        mouse(slider.ax, (0.5, 0.5), (end, 0.5))
        assert 1.5 < sign * slider.val < 3
        deviation = 1 if generator.noise == "normal" else 3**-0.5
        noise = noise + deviation * slider.val * directions[index]
        check_screen(explorer, noise)
    if generator.num_codes:
        mouse(explorer.sliders[1].ax, (0.5, 0.5), (0.8, 0.5))
        codes[1] = explorer.sliders[1].val
        assert codes[1] == pytest.approx(0.8, abs=0.02)
    label = 8 if generator.num_labels else 0
    if label:
        mouse(explorer.labels[label].ax, (0.5, 0.5))
    mouse(explorer.grid.axes, (0.9, 0.6))
    check_screen(explorer, noise, label, codes, chosen=7)

    new_noise, reset, save = [button.ax for button in explorer.actions]
    for _ in range(2):
        mouse(save, (0.5, 0.5))
    word = "" if not label else "_category8" if generator.num_codes else "_classsnow_owl_2"
    names = [f"explore{word}_{n}.{kind}" for n in ("001", "002") for kind in ("npy", "png")]
    assert sorted(path.name for path in (tmp_path / "saved").iterdir()) == names
    saved = np.load(tmp_path / "saved" / names[0])
    image = generator.draw(generator.feed(saved[:, :SIZE], label, saved[0, SIZE:]))[0]
    picture = np.asarray(Image.open(tmp_path / "saved" / names[1]), int)[::10, ::10]
    np.testing.assert_allclose(picture.reshape(image.shape), 255 * image, atol=1)

    mouse(reset, (0.5, 0.5))
    check_screen(explorer, explorer.noise, label, chosen=7)
    noise = explorer.noise
    mouse(new_noise, (0.5, 0.5))
    assert (explorer.noise != noise).all()
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
BACKENDS = {
    "agg": "it needs a display",
    "module://matplotlib_inline.backend_inline": "in a notebook, ipympl",
    "module://broken_toolkit": "no screen",
}


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_window(backend, generator, tmp_path, monkeypatch):
    (tmp_path / "broken_toolkit.py").write_text(BROKEN_TOOLKIT)
    monkeypatch.syspath_prepend(tmp_path)
    plt.switch_backend(backend)
    try:
        with pytest.raises(UserError, match=BACKENDS[backend]):
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
