"""A window to explore a generator: sliders along its strongest latent directions."""

from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path

from lib import data
from lib.generator import Generator, plain
from lib.pictures import enlarge, image_grid, to_uint8
from lib.plumbing.errors import UserError
from lib.plumbing.files import atomic
from lib.plumbing.tf import tf

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.registry import BackendFilter, backend_registry
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.widgets import Button, Slider
from PIL import Image

ROWS = 4  # of the grid, and its columns
MAX_LABELS = 30
MAX_LATENT_SIZE = 4000  # its directions take 10 seconds
# The first layer's weights start at random, with singular values from 1.2 to 1.6; in an ACGAN
# after 5,000 steps about eight stand out from these, the first with 2.5.
NUM_SLIDERS = 8
# Standard deviations of the noise, along any unit vector. Sliders reach three of them, as noise
# does. Moved noise isn't clipped to [-1, 1), which would bend the direction. The first layer sums
# over all entries, so one beyond 1 does no harm.
DEVIATIONS, REACH = {"uniform": 3**-0.5, "normal": 1.0}, 3
# TensorFlow's operations that multiply by a kernel.
KERNELS = "MatMul", "BatchMatMulV2", "Einsum", "Conv2D", "Conv2DBackpropInput"

# Both pictures are 448 pixels wide, 28 times a whole number, so that all pixels of a digit come out
# equally wide.
SIZE, DPI = (968, 674), 100
EDGES = {"left": 24 / 968, "right": 944 / 968, "bottom": 44 / 674, "top": 650 / 674}
ACCENT, PLAIN = "tab:orange", "0.92"
HELP = (
    "Sliders move all 16 along the latent directions that the generator answers most to, in "
    "standard deviations of the noise. A click on one of the 16 enlarges it."
)


def explore(generator: Generator, seed: int, folder: str | Path) -> None:
    """Open the window, and return when it is closed; in a notebook, once it is shown.

    "Save" writes into the folder, which is made when missing.

    Raises:
        UserError: too many labels, too wide a latent space, no layer to take directions from, no
            display, or a toolkit that can't open a window.
    """
    if generator.latent_size > MAX_LATENT_SIZE:
        raise UserError(f"--explore takes latent spaces of up to {MAX_LATENT_SIZE:,} dimensions")
    if generator.num_labels > MAX_LABELS:
        raise UserError(
            f"--explore has a button for each {generator.label_word}, and room for {MAX_LABELS}: "
            f"this generator draws {generator.num_labels}"
        )
    backend, silent = plt.get_backend(), BackendFilter.NON_INTERACTIVE
    advice = (
        f"--explore can't open a window here, by matplotlib's {backend}: it needs a display, and "
        "Tk, PyQt6 or PySide6 for Python; in a notebook, ipympl and %matplotlib widget"
    )
    if backend.lower() in backend_registry.list_builtin(silent) or "inline" in backend:
        raise UserError(advice)
    try:
        with plt.rc_context({"toolbar": "None"}):
            figure = plt.figure("explore", figsize=np.divide(SIZE, DPI), dpi=DPI)
        figure.canvas.mpl_disconnect(figure.canvas.manager.key_press_handler_id)  # meant for plots
    except Exception as error:  # each toolkit raises its own
        raise UserError(f"{advice} ({error})") from error
    try:
        # widgets work only as long as something refers to them
        figure.explorer = Explorer(figure, generator, seed, folder)
    except UserError:
        plt.close(figure)
        raise
    plt.show()


def latent_directions(generator: Generator, count: int) -> np.ndarray:
    """Return the directions in which noise changes the first layer's output most.

    In closed form (Shen and Zhou 2021, arXiv:2007.06600): the unit vectors n that make |A n|
    largest, A the layer's weights, are the eigenvectors of A^T A with the largest eigenvalues.
    The layer is the first that multiplies what comes from the noise by a kernel, however deep in
    the network it lies. Its answers to the unit vectors are A^T.

    Returns:
        float32 (min(count, latent_size), latent_size), orthonormal, the strongest first.

    Raises:
        UserError: there is no such layer.
    """
    size = generator.latent_size
    vectors = np.eye(size + 1, size, dtype=np.float32)  # the last is 0
    inputs = generator.feed(vectors, 0, generator.num_codes * [0.5])

    @partial(tf.function, autograph=False)
    def first_answers(noise: tf.Tensor, *others: tf.Tensor) -> tf.Tensor:
        generator.model([noise, *others] if others else noise, training=False)
        reached = {noise.ref()}
        for operation in noise.graph.get_operations():  # in order
            if reached.intersection(tensor.ref() for tensor in operation.inputs):
                if operation.type in KERNELS:
                    return operation.outputs[0]
                reached.update(tensor.ref() for tensor in operation.outputs)
        raise UserError(
            "--explore takes its directions from the first layer that multiplies noise by a "
            "kernel, as Dense does: this network has none"
        )

    answers = first_answers(*inputs).numpy().reshape(size + 1, -1)
    answers = answers[:-1] - answers[-1]
    return np.linalg.eigh(answers @ answers.T).eigenvectors.T[::-1][:count]


class Explorer:
    """Shows a large image, the 16 that it is one of, and what changes them.

    Attributes:
        noise: float32 (16, latent_size), before the sliders move it.
        label: what a generator that takes labels draws.
        chosen: which of the 16 is large.
        sliders: those of an InfoGAN's codes, then one for each direction.
    """

    def __init__(self, figure: Figure, generator: Generator, seed: int, folder: str | Path):
        self.figure, self.generator, self.folder = figure, generator, Path(folder)
        directions = latent_directions(generator, max(0, NUM_SLIDERS - generator.num_codes))
        self.directions = directions * DEVIATIONS[generator.noise]
        self.generate = tf.function(partial(generator.model, training=False))
        self.rng = tf.random.Generator.from_seed(seed)
        self.label = self.chosen = 0

        heights, gaps = (448, 30, 92), {"wspace": 24 / 448, "hspace": 18 / 190}
        spec = figure.add_gridspec(3, 2, height_ratios=heights, **gaps, **EDGES)
        self.large = add_picture(figure.add_subplot(spec[0, 0]), 1)
        self.grid = add_picture(figure.add_subplot(spec[0, 1]), ROWS)
        self.frame = Rectangle((0, 0), 1, 1, fill=False, color=ACCENT, linewidth=3)
        self.grid.axes.add_patch(self.frame)
        figure.canvas.mpl_connect("button_press_event", self.choose)
        labels = {name: partial(self.choose_label, n) for n, name in enumerate(generator.names)}
        self.labels = add_buttons(spec[1, 0], labels)
        actions = {"new noise": self.renew, "reset sliders": self.reset, "save": self.save}
        self.actions = add_buttons(spec[1, 1 if labels else 0], actions)
        ranges = [(f"c{n + 1}", 0, 1) for n in range(generator.num_codes)]
        ranges += [(str(n + 1), -REACH, REACH) for n in range(len(directions))]
        self.sliders, rows = [], max(NUM_SLIDERS, len(ranges) + 1) // 2
        for index, (label, low, high) in enumerate(ranges):
            column = spec[2, index // rows].subgridspec(rows, 3, wspace=0, width_ratios=(2, 35, 4))
            axes = figure.add_subplot(column[index % rows, 1])
            style = {"valfmt": "%.1f", "initcolor": "0.6", "facecolor": ACCENT}
            slider = Slider(axes, label, low, high, valinit=(low + high) / 2, **style)
            slider.poly.set(x=slider.valinit, width=0)  # it fills from the middle
            slider.on_changed(self.redraw)
            self.sliders.append(slider)
        style = {"fontsize": 8, "color": "0.4", "verticalalignment": "center"}
        self.text = figure.text(EDGES["left"], 0.03, HELP, **style, parse_math=False)
        self.renew()
        if labels:
            self.choose_label(0)

    def moved(self) -> tuple[np.ndarray, np.ndarray]:
        """Return noise plus alpha n, n the direction of each slider, and an InfoGAN's codes.

        Both are float32, (16, latent_size) and (num_codes,).
        """
        values = np.array([slider.val for slider in self.sliders], np.float32)
        codes, alphas = np.split(values, [self.generator.num_codes])
        return self.noise + alphas @ self.directions, codes

    def redraw(self, _event=None) -> None:
        """Compute both pictures anew, and have the window drawn."""
        noise, codes = self.moved()
        inputs = self.generator.feed(noise, self.label, codes)
        images = self.generate(inputs if len(inputs) > 1 else inputs[0]).numpy()
        images = self.generator.pixels(images)
        self.large.set_data(image_grid(images[[self.chosen]], gap=0))
        self.grid.set_data(image_grid(images, gap=0))
        self.figure.canvas.draw_idle()

    def choose(self, event) -> None:
        """Enlarge the one of the 16 that was clicked."""
        if event.inaxes is self.grid.axes:
            col, row = (min(int(place), ROWS - 1) for place in (event.xdata, event.ydata))
            self.chosen = row * ROWS + col
            self.frame.set_xy((col, row))
            self.redraw()

    def choose_label(self, label: int, _event=None) -> None:
        """Draw a label from the noise that is there."""
        self.label = label
        for index, button in enumerate(self.labels):
            button.color = button.hovercolor = ACCENT if index == label else PLAIN
            button.ax.set_facecolor(button.color)
        self.redraw()

    def renew(self, _event=None) -> None:
        """Draw from other noise; the sliders stay."""
        size, kind = self.generator.latent_size, self.generator.noise
        self.noise = data.sample_noise(self.rng, ROWS * ROWS, size, kind).numpy()
        self.redraw()

    def reset(self, _event) -> None:
        """Put all sliders in the middle."""
        for slider in self.sliders:
            slider.reset()

    def save(self, _event) -> None:
        """Save the large image, ten times its size, and its moved noise, (1, latent_size), behind
        which stand an InfoGAN's codes.

        The names have what the label is called, and the first number that is free.
        """
        stem = "explore"
        if self.labels:
            stem += f"_{self.generator.label_word}{plain(self.generator.names[self.label])}"
        picture = Image.fromarray(enlarge(to_uint8(np.asarray(self.large.get_array())), 10))
        noise, codes = self.moved()
        try:
            taken = {path.stem for path in self.folder.glob("explore*")}
            name = next(name for n in count(1) if (name := f"{stem}_{n:03}") not in taken)
            path = self.folder / f"{name}.png"
            with atomic(path.with_suffix(".npy"), new=True) as temporary:
                np.save(temporary, np.append(noise[[self.chosen]], [codes], axis=1))
            with atomic(path, new=True) as temporary:
                picture.save(temporary)
        except OSError as error:
            self.text.set_text(f"not saved: {error}")
        else:
            self.text.set_text(f"saved {path}, and its noise as .npy")
        self.figure.canvas.draw_idle()


def add_picture(axes: Axes, tiles: int) -> AxesImage:
    """Show a black square in which the images of a grid are of width and height 1."""
    axes.set_axis_off()
    limits = {"cmap": "gray", "vmin": 0, "vmax": 1}
    return axes.imshow([[0]], **limits, interpolation="nearest", extent=(0, tiles, tiles, 0))


def add_buttons(place: SubplotSpec, actions: dict[str, Callable]) -> list[Button]:
    """Add a row of buttons, their names cut to what has room."""
    buttons, number = [], len(actions)
    for column, (name, action) in enumerate(actions.items()):
        row = place.subgridspec(1, number, wspace=0.011 * number)
        axes = row.figure.add_subplot(row[column])
        axes.spines[:].set_visible(False)
        button = Button(axes, name[: 56 // number], color=PLAIN, hovercolor=PLAIN)
        button.label.set(fontsize=9, parse_math=False)
        button.on_clicked(action)
        buttons.append(button)
    return buttons
