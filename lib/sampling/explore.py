"""A window to explore a generator: sliders along its strongest latent directions."""

from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path

from lib import data
from lib.pictures import as_pixels, enlarge, image_grid, to_uint8
from lib.plumbing.errors import UserError
from lib.plumbing.files import atomic
from lib.plumbing.tf import keras, tf

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.registry import BackendFilter, backend_registry
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.widgets import Button, Slider
from PIL import Image

ROWS = 4  # of the grid, and its columns
MAX_DIGITS = 30
MAX_LATENT_SIZE = 4000  # its directions take 10 seconds
# The first layer's weights start at random, with singular values from 1.2 to 1.6; in an ACGAN
# after 5,000 steps about eight stand out from these, the first with 2.5.
NUM_SLIDERS = 8
# DEVIATION: of uniform noise, along any unit vector. Sliders reach three of them, as noise does.
# Moved noise isn't clipped to [-1, 1), which would bend the direction. The first layer sums over
# all entries, so one beyond 1 does no harm.
DEVIATION, REACH = 3**-0.5, 3

# Pixels, from the window's upper left corner. Both pictures are 28 times a whole number, so that
# all pixels of a digit come out equally wide.
SIZE, DPI = (968, 674), 100
PICTURE, LEFT, RIGHT = 448, 24, 496  # side, and left edges of the two columns
ACCENT, PLAIN = "tab:orange", "0.92"
HELP = (
    "Sliders move all 16 along the latent directions that the generator answers most to, in "
    "standard deviations of the noise. A click on one of the 16 enlarges it."
)


def explore(generator: keras.Model, seed: int, folder: str | Path, classes: list = ()) -> None:
    """Open the window, and return when it is closed.

    Args:
        generator: of noise, or of noise and labels; then each digit has a button.
        seed: of the noise.
        folder: where "save" writes; made when missing.
        classes: what each label stands for; a digit by default.

    Raises:
        UserError: too many digits, too wide a latent space, no display, or a toolkit that can't
            open a window.
    """
    latent_size, num_labels, _ = data.input_widths(generator)
    if latent_size > MAX_LATENT_SIZE:
        raise UserError(f"--explore takes latent spaces of up to {MAX_LATENT_SIZE:,} dimensions")
    if num_labels > MAX_DIGITS:
        raise UserError(f"--explore has room for the buttons of {MAX_DIGITS} digits")
    advice = "it needs a display, and Tk, PyQt6 or PySide6 for Python"
    backend = plt.get_backend()
    silent = backend_registry.list_builtin(BackendFilter.NON_INTERACTIVE)
    if backend.lower() in silent or "inline" in backend:  # the latter a notebook's
        raise UserError(f"--explore can't open a window here: {advice}")
    try:
        with plt.rc_context({"toolbar": "None"}):
            figure = plt.figure("explore", figsize=np.divide(SIZE, DPI), dpi=DPI)
        figure.canvas.mpl_disconnect(figure.canvas.manager.key_press_handler_id)  # meant for plots
    except Exception as error:  # each toolkit raises its own
        raise UserError(f"--explore can't open a {backend} window ({error}): {advice}") from error
    # widgets work only as long as something refers to them
    figure.explorer = Explorer(figure, generator, seed, folder, classes)
    plt.show()


def latent_directions(generator: keras.Model, count: int) -> np.ndarray:
    """Return the directions in which noise changes the first layer's output most.

    In closed form (Shen and Zhou 2021, arXiv:2007.06600): the unit vectors n that make |A n|
    largest, A the layer's weights, are the eigenvectors of A^T A with the largest eigenvalues.
    Keras keeps A^T, (inputs, units), and the rows of the noise stand before those of labels.

    Returns:
        float32 (min(count, latent_size), latent_size), orthonormal, the strongest first.
    """
    latent_size = generator.inputs[0].shape[1]
    dense = next(layer for layer in generator.layers if isinstance(layer, keras.layers.Dense))
    kernel = dense.kernel.numpy()[:latent_size]
    return np.linalg.eigh(kernel @ kernel.T).eigenvectors.T[::-1][:count]


class Explorer:
    """Shows a large digit, the 16 that it is one of, and what changes them.

    Args:
        figure: empty, SIZE pixels large, of any canvas.
        generator, seed, folder, classes: as `explore` takes them.

    Attributes:
        noise: float32 (16, latent_size), before the sliders move it.
        digit: what a conditional generator draws.
        chosen: which of the 16 is large.
    """

    def __init__(
        self,
        figure: Figure,
        generator: keras.Model,
        seed: int,
        folder: str | Path,
        classes: list = (),
    ):
        self.figure, self.folder = figure, Path(folder)
        self.widths = data.input_widths(generator)
        self.latent_size, self.num_labels, num_codes = self.widths
        self.directions = latent_directions(generator, NUM_SLIDERS - num_codes)
        self.generator = generator
        self.generate = tf.function(partial(generator, training=False))
        self.rng = tf.random.Generator.from_seed(seed)
        self.noise = self.new_noise()
        self.digit = self.chosen = 0

        self.large = add_picture(figure, LEFT, 1)
        self.grid = add_picture(figure, RIGHT, ROWS)
        self.frame = Rectangle((0, 0), 1, 1, fill=False, color=ACCENT, linewidth=3)
        self.grid.axes.add_patch(self.frame)
        figure.canvas.mpl_connect("button_press_event", self.choose)
        names = classes or range(self.num_labels)
        digits = {str(name): partial(self.draw_digit, n) for n, name in enumerate(names)}
        self.digits = add_buttons(figure, LEFT, digits)
        actions = {"new noise": self.renew, "reset sliders": self.reset, "save": self.save}
        self.actions = add_buttons(figure, RIGHT if digits else LEFT, actions)
        self.code_sliders = [
            add_slider(figure, index, f"c{index + 1}", 0, 1) for index in range(num_codes)
        ]
        self.sliders = [
            add_slider(figure, num_codes + index, str(index + 1), -REACH, REACH)
            for index in range(len(self.directions))
        ]
        for slider in *self.code_sliders, *self.sliders:
            slider.on_changed(partial(self.move, slider))
        style = {"fontsize": 8, "color": "0.4", "verticalalignment": "center"}
        self.text = figure.text(*place(LEFT, 654), HELP, **style, parse_math=False)
        if digits:
            paint(self.digits[self.digit], ACCENT)
        self.redraw()

    def new_noise(self) -> np.ndarray:
        """Draw noise for the 16: float32 (16, latent_size), uniform in [-1, 1)."""
        return data.sample_noise(self.rng, ROWS * ROWS, self.latent_size).numpy()

    def moved_noise(self) -> np.ndarray:
        """Return noise plus alpha n, n the direction of each slider: float32 (16, latent_size)."""
        alphas = DEVIATION * np.array([slider.val for slider in self.sliders], np.float32)
        return self.noise + alphas @ self.directions

    def redraw(self, slider: Slider | None = None) -> None:
        """Compute both pictures anew; draw them and a slider alone, or the whole window."""
        inputs = self.moved_noise()
        if self.num_labels:
            labels = np.eye(self.num_labels, dtype=np.float32)[[self.digit] * len(inputs)]
            codes = (np.full((len(inputs), 1), slider.val) for slider in self.code_sliders)
            inputs = [inputs, labels, *(code.astype(np.float32) for code in codes)]
        images = as_pixels(self.generator, self.generate(inputs).numpy())
        self.large.set_data(images[self.chosen, ..., 0])
        self.grid.set_data(image_grid(images, gap=0))

        canvas = self.figure.canvas
        if slider and canvas.supports_blit:
            for axes in self.large.axes, self.grid.axes, slider.ax:
                axes.draw_artist(axes)
                canvas.blit(axes.bbox)
        else:
            canvas.draw_idle()

    def move(self, slider: Slider, _value: float) -> None:
        """Draw what a slider has changed."""
        self.redraw(slider)

    def choose(self, event) -> None:
        """Enlarge the one of the 16 that was clicked."""
        if event.inaxes is self.grid.axes:
            col, row = (min(int(place), ROWS - 1) for place in (event.xdata, event.ydata))
            self.chosen = row * ROWS + col
            self.frame.set_xy((col, row))
            self.redraw()

    def draw_digit(self, digit: int, _event=None) -> None:
        """Draw a digit from the noise that is there."""
        paint(self.digits[self.digit], PLAIN)
        paint(self.digits[digit], ACCENT)
        self.digit = digit
        self.redraw()

    def renew(self, _event) -> None:
        """Draw from other noise; the sliders stay."""
        self.noise = self.new_noise()
        self.redraw()

    def reset(self, _event) -> None:
        """Put all sliders in the middle."""
        for slider in *self.code_sliders, *self.sliders:
            slider.reset()

    def save(self, _event) -> None:
        """Save the large digit, ten times its size, and its moved noise, (1, latent_size), behind
        which stand an InfoGAN's codes.

        The names have the digit (or category) and the first number that is free.
        """
        digit = f"_{self.widths.word}{self.digit}" if self.digits else ""
        names = (f"explore{digit}_{number:03}" for number in count(1))
        picture = Image.fromarray(enlarge(to_uint8(self.large.get_array()), 10))
        codes = [slider.val for slider in self.code_sliders]
        noise = np.append(self.moved_noise()[[self.chosen]], np.float32([codes]), axis=1)
        try:
            taken = {path.stem for path in self.folder.glob("explore*")}
            name = next(name for name in names if name not in taken)
            path = self.folder / f"{name}.png"
            with atomic(path.with_suffix(".npy")) as temporary:
                np.save(temporary, noise)
            with atomic(path) as temporary:
                picture.save(temporary)
        except OSError as error:
            self.text.set_text(f"not saved: {error}")
        else:
            self.text.set_text(f"saved {path}, and its noise as .npy")
        self.figure.canvas.draw_idle()


def place(x: float, y: float) -> tuple[float, float]:
    """Convert pixels from the upper left corner to matplotlib's shares of the figure."""
    return x / SIZE[0], 1 - y / SIZE[1]


def add_axes(figure: Figure, x: float, y: float, width: float, height: float) -> Axes:
    """Add axes whose upper left corner is at (x, y), in pixels."""
    return figure.add_axes([*place(x, y + height), width / SIZE[0], height / SIZE[1]])


def add_picture(figure: Figure, x: float, tiles: int) -> AxesImage:
    """Add a black square in which the images of a grid are of width and height 1."""
    axes = add_axes(figure, x, 24, PICTURE, PICTURE)
    axes.set_axis_off()
    limits = {"cmap": "gray", "vmin": 0, "vmax": 1}
    return axes.imshow([[0]], **limits, interpolation="nearest", extent=(0, tiles, tiles, 0))


def add_buttons(figure: Figure, x: float, actions: dict[str, Callable]) -> list[Button]:
    """Add a row of buttons, as wide as a picture."""
    gap = 5
    pitch = (PICTURE + gap) / max(len(actions), 1)
    buttons = []
    for index, (label, action) in enumerate(actions.items()):
        axes = add_axes(figure, x + index * pitch, 490, pitch - gap, 30)
        axes.spines[:].set_visible(False)
        button = Button(axes, label)
        button.label.set_fontsize(9)
        button.on_clicked(action)
        paint(button, PLAIN)
        buttons.append(button)
    return buttons


def paint(button: Button, color: str) -> None:
    button.color = button.hovercolor = color
    button.ax.set_facecolor(color)


def add_slider(figure: Figure, index: int, label: str, low: float, high: float) -> Slider:
    """Add a slider from `low` to `high`, in the middle, at one of the places in two columns."""
    col, row = divmod(index, NUM_SLIDERS // 2)
    x, y = (LEFT, RIGHT)[col], 538 + 25 * row
    figure.text(*place(x, y + 10), label, fontsize=9, verticalalignment="center")
    axes = add_axes(figure, x + 16, y, PICTURE - 16, 20)
    middle, span = (low + high) / 2, high - low
    slider = Slider(
        axes,
        "",
        low,
        high,
        valinit=middle,
        valfmt="%.1f",
        initcolor="0.6",
        facecolor=ACCENT,
        handle_style={"facecolor": ACCENT, "edgecolor": "white"},
    )
    # All of it within its axes, on a ground of its own, so that it can be drawn alone.
    axes.axhspan(0, 1, color="white", zorder=-1)
    axes.set_xlim(low - 0.035 * span, high + 0.16 * span)
    slider.track.set_bounds(0, 0.4, 1.07 / 1.195, 0.2)
    slider.poly.set(x=middle, y=0.4, height=0.2)
    slider.valtext.set(x=1, horizontalalignment="right", fontsize=9)
    slider.drawon = False
    slider.set_val(middle)
    return slider
