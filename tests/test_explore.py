"""The window to play in, by real mouse events on a canvas without a window."""

from lib import gan
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

SIDE = 8  # of the digits


each_kind = pytest.mark.parametrize(
    "generator", ["noise", "labels", "codes", "tanh"], indirect=True
)


@pytest.fixture
def generator(request):
    """Build a generator of noise alone, or of labels, too, or of those and codes, or a tanh's."""
    kind = getattr(request, "param", "labels")
    keras.utils.set_random_seed(4)
    labels = keras.Input((10,)) if kind in ("labels", "codes") else None
    codes = [keras.Input((1,)), keras.Input((1,))] if kind == "codes" else None
    activation = "tanh" if kind == "tanh" else "sigmoid"
    model = gan.generator(keras.Input((12,)), SIDE, activation, labels, codes)
    *_, last = [layer for layer in model.layers if layer.weights]
    last.kernel.assign(50 * last.kernel)  # untrained, all pixels would be nearly the same grey
    return model


@pytest.fixture
def explorer(generator, tmp_path):
    figure = Figure(figsize=np.divide(explore.SIZE, explore.DPI), dpi=explore.DPI)
    FigureCanvasAgg(figure)
    explorer = explore.Explorer(figure, generator, 1, tmp_path / "saved")
    figure.canvas.draw()
    return explorer


def mouse(axes, *events):
    """Send mouse events, each a name and a place in the axes from (0, 0) to (1, 1)."""
    canvas = axes.figure.canvas
    for name, *place in events:
        x, y = axes.transAxes.transform(place)
        event = MouseEvent(f"{name}_event", canvas, x, y, MouseButton.LEFT)
        canvas.callbacks.process(event.name, event)


def click(axes, x=0.5, y=0.5):
    mouse(axes, ("motion_notify", x, y), ("button_press", x, y), ("button_release", x, y))


def drag(slider, start, end):
    """Drag a slider's handle, places between 0 and 1."""
    route = [("motion_notify", x, 0.5) for x in np.linspace(start, end, 4)]
    mouse(slider.ax, ("button_press", start, 0.5), *route, ("button_release", end, 0.5))


def on_screen(explorer, axes, side):
    """The grey values on the canvas at the middles of a picture's pixels: uint8 (side, side)."""
    canvas = np.asarray(explorer.figure.canvas.buffer_rgba())[..., 0]
    left, right = np.rint(axes.bbox.intervalx).astype(int)
    bottom, top = len(canvas) - np.rint(axes.bbox.intervaly).astype(int)
    picture, pixel = canvas[top:bottom, left:right], (right - left) // side
    return picture[pixel // 2 :: pixel, pixel // 2 :: pixel]


def drawn(generator, noise, digit, codes=(0.5, 0.5)):
    """Draw images of noise, and of a digit and codes where it takes them: uint8 (n, side, side)."""
    labels = np.eye(10, dtype="float32")[[digit] * len(noise)]
    codes = [np.full((len(noise), 1), code, "f4") for code in codes]
    inputs = [noise, labels, *codes][: len(generator.inputs)]
    return np.rint(255 * gan.draw_images(generator, inputs)[..., 0]).astype(int)


def check_screen(explorer, generator, noise, digit=0, chosen=0):
    """Both pictures on the canvas are what the generator draws from the noise."""
    images = drawn(generator, noise, digit)
    large = on_screen(explorer, explorer.large.axes, SIDE)
    np.testing.assert_allclose(large, images[chosen], atol=2)
    grid = on_screen(explorer, explorer.grid.axes, 4 * SIDE).reshape(4, SIDE, 4, SIDE)
    tiles = grid.swapaxes(1, 2).reshape(16, SIDE, SIDE)[:, 1:-1, 1:-1]  # a frame is round one
    np.testing.assert_allclose(tiles, images[:, 1:-1, 1:-1], atol=2)


@each_kind
def test_directions_change_the_first_layer_most(generator):
    dense = next(layer for layer in generator.layers if isinstance(layer, keras.layers.Dense))
    kernel = dense.kernel.numpy()
    kernel[12:] *= 100  # weights of labels, if any, which noise has no share in
    dense.kernel.assign(kernel)
    directions = explore.latent_directions(generator, 8)
    np.testing.assert_allclose(directions @ directions.T, np.eye(8), atol=1e-5)

    def change(vectors):
        padded = np.pad(vectors, ((0, 0), (0, len(kernel) - 12))).astype("float32")
        return np.linalg.norm(dense(padded) - dense(np.zeros_like(padded)), axis=1)

    others = np.random.default_rng(0).normal(size=(1000, 12))
    for strength, direction in zip(change(directions), directions, strict=True):
        unit = others / np.linalg.norm(others, axis=1, keepdims=True)
        assert strength > change(unit).max()
        others -= np.outer(others @ direction, direction)  # next, of all at right angles to it


@each_kind
def test_slider(explorer, generator):
    start = explorer.noise.copy()
    check_screen(explorer, generator, start)
    for index, end, sign in (1, 0.8, 1), (5, 0.1, -1):
        slider = explorer.sliders[index]
        drag(slider, 0.45, end)
        assert 1 < sign * slider.val <= 3
        start += slider.val / 3**0.5 * explorer.directions[index]
        check_screen(explorer, generator, start)
    drag(slider, 0.1, -0.5)
    assert slider.val == -3


@pytest.mark.parametrize("generator", ["codes"], indirect=True)
def test_code_sliders(explorer, generator):
    drag(explorer.code_sliders[1], 0.45, 0.8)
    second = explorer.code_sliders[1].val
    assert 0.6 < second <= 1
    images = drawn(generator, explorer.noise, 0, (0.5, second))
    large = on_screen(explorer, explorer.large.axes, SIDE)
    np.testing.assert_allclose(large, images[0], atol=2)


def test_reset_and_new_noise(explorer, generator):
    start = explorer.noise.copy()
    drag(explorer.sliders[0], 0.45, 0.7)
    new_noise, reset, _ = [button.ax for button in explorer.actions]
    click(reset)
    check_screen(explorer, generator, start)
    click(new_noise)
    assert (explorer.noise != start).all()
    assert -1 <= explorer.noise.min() < explorer.noise.max() < 1
    check_screen(explorer, generator, explorer.noise)


def test_choose(explorer, generator):
    click(explorer.grid.axes, 0.4, 0.9)
    check_screen(explorer, generator, explorer.noise, chosen=1)
    click(explorer.grid.axes, 0.9, 0.1)
    check_screen(explorer, generator, explorer.noise, chosen=15)


def test_digit(explorer, generator):
    for digit in 7, 0, 9:
        click(explorer.digits[digit].ax)
        check_screen(explorer, generator, explorer.noise, digit)


@each_kind
def test_save(explorer, generator, tmp_path):
    digit = 3 if explorer.digits else 0
    if digit:
        click(explorer.digits[digit].ax)
    click(explorer.grid.axes, 0.4, 0.9)
    for slider in explorer.code_sliders[:1]:
        drag(slider, 0.45, 0.8)
    for value in 0.7, 0.6:
        drag(explorer.sliders[0], 0.45, value)
        click(explorer.actions[-1].ax)
    word = "category" if explorer.code_sliders else "digit"
    stem = f"explore_{word}3" if digit else "explore"
    names = [f"{stem}_{number}.{kind}" for number in ("001", "002") for kind in ("npy", "png")]
    assert sorted(path.name for path in (tmp_path / "saved").iterdir()) == names
    pictures = []
    for path in sorted((tmp_path / "saved").glob("*.png")):
        picture = np.asarray(Image.open(path), int)
        assert picture.shape == (10 * SIDE, 10 * SIDE)
        noise, codes = np.split(np.load(path.with_suffix(".npy")), [12], axis=1)
        images = drawn(generator, noise, digit, codes[0])
        np.testing.assert_allclose(picture[::10, ::10], images[0], atol=1)
        pictures.append(picture)
    np.testing.assert_allclose(
        on_screen(explorer, explorer.large.axes, SIDE), pictures[1][::10, ::10], atol=2
    )
    assert (pictures[0] != pictures[1]).any()


def test_save_where_nothing_can_be_written(explorer, tmp_path):
    (tmp_path / "saved").write_text("a file, no folder")
    click(explorer.actions[-1].ax)
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
        ("agg", "can't open a window here: it needs a display"),
        ("module://matplotlib_inline.backend_inline", "can't open a window here"),
        ("module://broken_toolkit", "no screen"),
    ],
)
def test_no_window(backend, message, tmp_path, monkeypatch):
    (tmp_path / "broken_toolkit.py").write_text(BROKEN_TOOLKIT)
    monkeypatch.syspath_prepend(tmp_path)
    plt.switch_backend(backend)
    try:
        with pytest.raises(UserError, match=message):
            explore.explore(gan.generator(keras.Input((12,)), SIDE), 1, tmp_path)
    finally:
        plt.switch_backend("agg")


def test_a_latent_space_too_wide(tmp_path):
    wide = gan.generator(keras.Input((explore.MAX_LATENT_SIZE + 1,)), 4)
    with pytest.raises(UserError, match="latent spaces of up to 4,000 dimensions"):
        explore.explore(wide, 1, tmp_path)
