"""Data-parallel training on TensorFlow's own engine, tf.distribute.

Every replica holds the whole of each model and draws its share of each batch; gradients are
summed over all of them, so a step is that of one device on the whole batch. Batch
normalization alone sees the replica's share, and keeps moving averages of its own: the chief's
first replica's are saved.
"""

import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory

from lib.files import UserError
from lib.run import Stopped, folder_of

import tensorflow as tf

LOST = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError)
GO_ON = "once all are back, start each of them with --resume"


@contextmanager
def scope(params) -> Iterator[None]:
    """Train in this context as --distribute and TF_CONFIG say.

    Args:
        params: distribute, batch_size, resume, plot_model, output_dir, model_name.

    Raises:
        UserError: as `strategy`; the batch can't be split evenly; another worker was lost.
    """
    training = strategy(params.distribute)
    replicas = training.num_replicas_in_sync
    if params.batch_size % replicas:
        raise UserError(
            f"--batch-size={params.batch_size} can't be split evenly over {replicas} replicas: "
            f"give a multiple of {replicas}"
        )
    with ExitStack() as stack:
        if not is_chief(training):
            stack.enter_context(elsewhere(params))
        stack.enter_context(training.scope())
        try:
            yield
            # Nobody leaves while the others still work, who would take it for a failure.
            step(lambda: {"done": tf.constant(1.0)})()
        except LOST as error:
            raise UserError(f"another worker is gone; {GO_ON}") from error


def strategy(devices: str | None) -> tf.distribute.Strategy:
    """The strategy to train under.

    Args:
        devices: "gpu" for all visible GPUs, "cpu:N" for N logical devices of the processor, None
            for one device. Where TF_CONFIG names a cluster, its workers each use all they have.

    Raises:
        UserError: TF_CONFIG names no cluster, or one that can't be joined; there is no such device.
    """
    kind, _, count = (devices or "").partition(":")
    if "TF_CONFIG" in os.environ:
        if kind == "cpu":
            raise UserError("--distribute=cpu:N is for one machine: leave it out, or TF_CONFIG")
        return cluster(os.environ["TF_CONFIG"])
    if kind == "cpu":
        (processor,) = tf.config.list_physical_devices("CPU")
        logical = [tf.config.LogicalDeviceConfiguration()] * int(count)
        tf.config.set_logical_device_configuration(processor, logical)
        return tf.distribute.MirroredStrategy([f"cpu:{index}" for index in range(int(count))])
    if kind == "gpu":
        if not tf.config.list_physical_devices("GPU"):
            raise UserError("--distribute finds no GPU: leave it out, or try --distribute=cpu:2")
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def cluster(text: str) -> tf.distribute.Strategy:
    """The strategy of the cluster in `text`, once all its workers are there."""
    try:
        config = json.loads(text)
        workers, task = config["cluster"], config["task"]
        places = {
            (kind, index): place
            for kind, places in workers.items()
            for index, place in enumerate(places)
        }
        own = places[task["type"], task["index"]]
        if not (
            workers.keys() <= {"chief", "worker"}
            and len(workers.get("chief", "")) <= 1
            and all(re.fullmatch(r".+:\d+", place) for place in places.values())
        ):
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            "TF_CONFIG must name a cluster and this process's task in it, as in "
            '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, '
            '"task": {"type": "worker", "index": 0}}'
        ) from error

    others = ", ".join(place for place in places.values() if place != own)
    print(f"{own} waits for {others or 'nobody'}", flush=True)
    # TensorFlow waits in native code, where Python's handler of Ctrl-C isn't heard, and keeps
    # SIGTERM for itself.
    handlers = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except tf.errors.OpError as error:
        raise UserError(
            f"can't join TF_CONFIG's cluster as {own}: {error.message.splitlines()[0]}; is the "
            "port free, are all workers up?"
        ) from error
    finally:
        for signum, handler in handlers.items():
            signal.signal(signum, handler)


def is_chief(training: tf.distribute.Strategy) -> bool:
    """Whether this process is the one that writes."""
    resolver = training.cluster_resolver
    if resolver is None:
        return True
    chief = "chief" if "chief" in resolver.cluster_spec().jobs else "worker"
    return (resolver.task_type, resolver.task_id) == (chief, 0)


@contextmanager
def elsewhere(params) -> Iterator[None]:
    """Have this process write where nobody looks; a run to resume is read from there too."""
    folder, output_dir = folder_of(params), params.output_dir
    with TemporaryDirectory() as place, open(os.devnull, "w") as null, redirect_stdout(null):
        if params.resume:
            copytree(folder, Path(place) / params.model_name)
        params.output_dir, params.plot_model = place, None
        try:
            yield
        except UserError as error:
            raise UserError(str(error).replace(place, output_dir)) from error
        except Stopped as error:
            raise Stopped(
                f"stopped, which ends the other workers too; {GO_ON}", error.status
            ) from error


def step(function: Callable[[], dict]) -> Callable[[], dict]:
    """Compile a training step. All replicas take it; the figures are the means of theirs."""
    if not tf.distribute.has_strategy():
        return tf.function(function)
    strategy = tf.distribute.get_strategy()

    @tf.function
    def on_all_replicas():
        figures = strategy.run(function)
        return {key: strategy.reduce("mean", value, axis=None) for key, value in figures.items()}

    return on_all_replicas
