"""One contender of a benchmark, a process that makes training steps on demand.

As in `python3 -m benchmarks.contenders ours wgan float32 64`. It says "ready" after its first step,
then reads numbers of steps and answers with the seconds a step, until its input ends.
"""

import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import redirect_stdout
from functools import partial
from importlib import import_module

from lib import data
from lib.plumbing.tf import keras, tf
from lib.training import distribute
from lib.training.step import compile_step, prepare

import numpy as np

SEED = 1
MATRIX_SIDE = 4096


class Contender:
    """A contender's process, as its caller sees it; `prefix` begins its command."""

    def __init__(self, *words, prefix: tuple[str, ...] = (), env: dict | None = None):
        command = [*prefix, sys.executable, "-m", "benchmarks.contenders", *map(str, words)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=env)

    def ask(self, steps: int) -> None:
        """Have it make steps; `answer` then gives the seconds a step."""
        print(steps, file=self.process.stdin, flush=True)

    def answer(self) -> str:
        """Wait for its next line."""
        line = self.process.stdout.readline().strip()
        if not line:
            sys.exit(f"failed: {' '.join(self.process.args)}")
        return line


def close(contenders: Iterable[Contender]) -> None:
    """Have processes end, those of a cluster together."""
    for contender in contenders:
        contender.process.stdin.close()
    for contender in contenders:
        contender.process.wait()


def requests() -> Iterator[None]:
    """Yield once for each step to make, and do the talking."""
    answer = partial(print, file=sys.__stdout__, flush=True)
    yield
    answer("ready")
    for line in sys.stdin:
        started = time.perf_counter()
        for _ in range(int(line)):
            yield
        answer((time.perf_counter() - started) / int(line))


def set_up(name: str, batch_size: int = 64, seed: int = SEED) -> tuple:
    """Return a script, its flags, its models and their Sampler, ready for `gan_step`."""
    script = import_module(f"{name}-mnist")
    params = script.parser.parse_args([f"--batch-size={batch_size}", f"--seed={seed}"])
    keras.utils.set_random_seed(seed)
    dataset = data.load()
    models = script.build_models(params, dataset)
    draw = data.Sampler(params, dataset)
    prepare(models, draw)
    return script, params, models, draw


def ours(name, precision, batch_size):
    """Make the script's own steps; in a cluster where TF_CONFIG names one."""
    keras.mixed_precision.set_global_policy(precision)
    params = import_module(f"{name}-mnist").parser.parse_args([f"--batch-size={batch_size}"])
    with distribute.scope(params):
        script, params, models, draw = set_up(name, batch_size)
        step = compile_step(script.gan_step, models, draw, params)
        for _ in requests():
            for value in step().values():
                float(value)  # waits for the step
            distribute.any_worker(False)  # as a run asks whether to stop


class ChapterDraws:
    """Draws as the listings do: with NumPy, from images in float32."""

    def __init__(self, batch_size):
        self.x_train, self.y_train = data.load()[:2]
        self.x_train, self.batch_size = self.x_train.astype("float32") / 255, batch_size

    def __getattr__(self, kind):
        size = self.batch_size
        if kind == "images":
            self.rows = np.random.randint(0, len(self.x_train), size=size)
            return self.x_train[self.rows]
        if kind == "image_labels":  # of the images drawn last
            return self.y_train[self.rows]
        if kind == "noise":
            return np.random.uniform(-1.0, 1.0, size=[size, 100])
        return np.eye(10)[np.random.choice(10, size)]


def keras2_listing(name, batch_size):
    """Make the steps of the chapter's listing on Keras 2."""
    from tests import keras2_listings

    keras2_listings.set_random_seed(SEED)
    models, draw = keras2_listings.build(name), ChapterDraws(batch_size)
    for _ in requests():
        keras2_listings.STEPS[name](*models, draw)


def torch(name, precision, batch_size, variant):
    """Make the same steps in PyTorch, eager or compiled."""
    from benchmarks import torch_steps

    precision = precision.removeprefix("mixed_")
    twin = torch_steps.Twin(name, SEED, precision, compiled=variant == "compiled")
    draw = torch_steps.Draw(batch_size, SEED)
    for _ in requests():
        twin.step(draw)


def matmul(precision):
    """Multiply two square matrices, as fast as TensorFlow does."""
    dtype = precision.removeprefix("mixed_")
    factors = tf.cast(tf.random.normal((2, MATRIX_SIDE, MATRIX_SIDE), seed=SEED), dtype)
    product = tf.function(tf.linalg.matmul)
    for _ in requests():
        product(factors[0], factors[1])[0, 0].numpy()


if __name__ == "__main__":
    kind, *words = sys.argv[1:]
    with redirect_stdout(sys.stderr):  # the scripts print too
        globals()[kind](*[int(word) if word.isdigit() else word for word in words])
