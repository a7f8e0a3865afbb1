"""One contender of the benchmark, a process that makes training steps on demand.

    python3 -m benchmarks.contenders ours wgan float32 64

It says "ready" after its first step. Then it reads numbers of steps and answers with the
seconds a step; at the end of its input it tells its peak memory in GB.
"""

import resource
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from importlib import import_module

import numpy as np

SEED = 1
MATRIX_SIDE = 4096


def requests() -> Iterator[None]:
    """Yields once for each step to make, and does the talking."""

    def answer(text):
        print(text, file=sys.__stdout__, flush=True)

    yield
    answer("ready")
    for line in sys.stdin:
        steps = int(line)
        started = time.perf_counter()
        for _ in range(steps):
            yield
        answer((time.perf_counter() - started) / steps)
    answer(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)


def ours(name, precision, batch_size):
    """The script's own step."""
    from lib import data, distribute, keras2

    from tensorflow import keras

    keras.utils.set_random_seed(SEED)
    keras.mixed_precision.set_global_policy(precision)
    script = import_module(f"{name}-mnist")
    params = script.parser.parse_args([f"--batch-size={batch_size}", f"--seed={SEED}"])
    dataset = data.load()
    # one device, unless TF_CONFIG names a cluster
    with distribute.scope(params) as params:
        models = script.build_models(params, dataset)
        keras2.build_for_training(*models[1:])
        draw = data.Sampler(params, dataset)
        step = distribute.compile_step(script.gan_step, models, draw, params)
        for _ in requests():
            for value in step().values():
                float(value)  # waits for the step
            distribute.any_worker(False)  # as a run asks whether to stop


class ChapterDraws:
    """Draws as the listings do: with NumPy, from images in float32."""

    def __init__(self, batch_size):
        from lib import data

        x_train, self.y_train = data.load()
        self.x_train = x_train.astype("float32") / 255
        self.batch_size = batch_size
        self.rows = None

    @property
    def images(self):
        self.rows = np.random.randint(0, len(self.x_train), size=self.batch_size)
        return self.x_train[self.rows]

    @property
    def image_labels(self):  # of the images drawn last
        return self.y_train[self.rows]

    @property
    def noise(self):
        return np.random.uniform(-1.0, 1.0, size=[self.batch_size, 100])

    @property
    def labels(self):
        return np.eye(10)[np.random.choice(10, self.batch_size)]


def keras2(name, precision, batch_size):
    """The chapter's listing on Keras 2."""
    from tests import keras2_listings

    from lib.tf import tf

    # on, as TensorFlow has it by itself
    tf.config.optimizer.set_experimental_options({"dependency_optimization": True})
    keras2_listings.set_random_seed(SEED)
    models, draw = keras2_listings.build(name), ChapterDraws(batch_size)
    for _ in requests():
        keras2_listings.STEPS[name](*models, draw)


def torch(name, precision, batch_size, variant):
    """The same networks and algorithm in PyTorch."""
    from benchmarks import torch_gans

    step = torch_gans.step(name, precision, batch_size, variant, SEED)
    for _ in requests():
        step()


def matmul(precision):
    """The product of two square matrices, as fast as TensorFlow multiplies."""
    from lib.tf import tf

    dtype = precision.removeprefix("mixed_")
    factors = tf.cast(tf.random.normal((2, MATRIX_SIDE, MATRIX_SIDE), seed=SEED), dtype)
    product = tf.function(tf.linalg.matmul)
    for _ in requests():
        product(factors[0], factors[1])[0, 0].numpy()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to the caller, who ends this
    kind, *words = sys.argv[1:]
    with redirect_stdout(sys.stderr):  # the scripts print too
        globals()[kind](*[int(word) if word.isdigit() else word for word in words])
