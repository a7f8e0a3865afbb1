"""Data-parallel training on TensorFlow's own engine, tf.distribute.

Every replica holds the whole of each model and draws its share of each batch; gradients are
summed over all of them, so a step is that of one device on the whole batch. Batch
normalization alone sees the replica's share; its moving averages are the means of all replicas'.
After each step all hold the same weights, bit for bit.
"""

import json
import os
import signal
import socket
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from functools import cache
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory
from zlib import crc32

from lib.keras2 import replica_mean
from lib.plumbing.errors import Stopped, UserError
from lib.plumbing.tf import tf
from lib.training.checkpoints import prefixes
from lib.training.folder import run_folder

# What TensorFlow raises where another worker has ended, is frozen, or can't be reached.
LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)
# One strategy a session: a new one would number its exchanges from the beginning, and TensorFlow
# remembers the sizes of the old ones.
mirrored = cache(tf.distribute.MirroredStrategy)


@contextmanager
def scope(params: Namespace) -> Iterator[Namespace]:
    """Train in this context as --distribute and TF_CONFIG say; yield the flags to train with.

    They give workers but the chief a temporary folder.

    Raises:
        UserError: as `strategy`; the batch can't be split evenly; the workers were started with
            different flags, data or checkpoints; another worker was lost.
    """
    training = strategy(params.distribute)
    replicas = training.num_replicas_in_sync
    if params.batch_size % replicas:
        raise UserError(
            f"--batch-size={params.batch_size} can't be split evenly over {replicas} replicas: "
            f"give a multiple of {replicas}"
        )
    if training.cluster_resolver is None:
        with training.scope():
            yield params
        return
    with ExitStack() as stack:
        stack.enter_context(training.scope())
        try:
            check_agreement(params)
            if not is_chief(training):
                print("joined the cluster; its first worker shows and writes the run", flush=True)
                params = stack.enter_context(scratch_output(params))
            yield params
            any_worker(False)  # Nobody leaves while others work, who would take it for a failure.
        except LOST as error:
            raise UserError(
                "another worker is gone, see what it says; start all of them again, with --resume "
                "where a checkpoint was saved"
            ) from error
    if not is_chief(training):
        print("done: the first worker has written the run", flush=True)


def strategy(devices: str | None) -> tf.distribute.Strategy:
    """Return the strategy to train under.

    Args:
        devices: "gpu" for all visible GPUs, "cpu:N" for N logical devices of the processor, None
            for one device. In a cluster each worker uses all it has.

    Raises:
        UserError: TF_CONFIG names no cluster, or one that can't be joined; there is no such device.
    """
    kind, _, count = (devices or "").partition(":")
    if kind == "gpu" and not tf.config.list_physical_devices("GPU"):
        raise UserError("--distribute finds no GPU: leave it out, or try --distribute=cpu:2")
    if config := cluster_config():
        if kind == "cpu":
            raise UserError("--distribute=cpu:N is for one machine: leave it out, or TF_CONFIG")
        return cluster(config)
    if kind == "cpu":
        (processor,) = tf.config.list_physical_devices("CPU")
        logical = [tf.config.LogicalDeviceConfiguration()] * int(count)
        try:
            tf.config.set_logical_device_configuration(processor, logical)
        except RuntimeError as error:  # in a session that has computed already
            raise UserError("--distribute=cpu:N needs a fresh Python: start one") from error
        return mirrored(tuple(f"cpu:{index}" for index in range(int(count))))
    return mirrored() if devices else tf.distribute.get_strategy()


def cluster_config() -> dict | None:
    """Return TF_CONFIG; None where it is empty or has no cluster, which means one machine.

    Raises:
        UserError: this process isn't in its cluster.
    """
    try:
        config = json.loads(os.environ.get("TF_CONFIG") or "{}")
        if not config.get("cluster"):
            return None
        own_place(config).split(":")
        return config
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise UserError(
            "TF_CONFIG must name a cluster and this process's task in it, as in "
            '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, '
            '"task": {"type": "worker", "index": 0}}'
        ) from error


def own_place(config: dict) -> str:
    """Return this process's host and port in TF_CONFIG."""
    return config["cluster"][config["task"]["type"]][config["task"]["index"]]


def cluster(config: dict) -> tf.distribute.Strategy:
    """Return the strategy of the cluster in TF_CONFIG, once all its workers are there.

    Raises:
        UserError: it can't be joined.
    """
    own = own_place(config)
    others = [place for hosts in config["cluster"].values() for place in hosts if place != own]
    print(f"{own} waits for {', '.join(others) or 'nobody'}", flush=True)

    before = signal.getsignal(signal.SIGINT)
    try:
        wait_for(others, own)
        # TensorFlow waits for what is left in native code, where Python's handlers aren't heard
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver(rpc_layer="grpc")
        return tf.distribute.MultiWorkerMirroredStrategy(resolver)
    except (ValueError, OSError, tf.errors.OpError) as error:
        reason = getattr(error, "message", str(error)).splitlines()[0]
        raise UserError(
            f"can't join TF_CONFIG's cluster as {own}: {reason}; is the port free, are all "
            "workers up?"
        ) from error
    finally:
        signal.signal(signal.SIGINT, before)


def wait_for(others: list[str], own: str) -> None:
    """Wait until each of the others listens at its host and port, and let them see that one does.

    While TensorFlow waits, it takes SIGTERM for itself.
    """
    missing = [*others]
    with socket.create_server(("", int(own.rpartition(":")[2]))):
        while missing:
            host, _, port = missing[0].rpartition(":")
            try:
                socket.create_connection((host, int(port)), timeout=5).close()
                missing.pop(0)
            except OSError:
                time.sleep(0.2)


def is_chief(training: tf.distribute.MultiWorkerMirroredStrategy) -> bool:
    """Return whether this process is the one that writes."""
    resolver = training.cluster_resolver
    chief = "chief" if "chief" in resolver.cluster_spec().jobs else "worker"
    return (resolver.task_type, resolver.task_id) == (chief, 0)


def check_agreement(params: Namespace) -> None:
    """Raise a UserError on every worker unless all were started alike."""
    own = {"seed", "data", "output_dir", "plot_model", "distribute", "command"}  # each worker's
    facts = {name: value for name, value in vars(params).items() if name not in own}
    if params.resume:
        facts["checkpoint"] = Path(prefixes(run_folder(params))[0]).name
    check_alike(facts)


def check_alike(facts) -> None:
    """Raise a UserError on every worker of a cluster unless all give equal facts."""
    if tf.distribute.get_strategy().cluster_resolver is None:
        return
    code = float(crc32(json.dumps(facts, sort_keys=True).encode()))
    if abs(mean_of_workers(tf.constant(code, tf.float64)) - code) > 0.5:
        raise UserError(
            "the workers differ in script, flags, data, or the checkpoint to go on from: start all "
            "alike, with the writer's folder"
        )


@contextmanager
def scratch_output(params: Namespace) -> Iterator[Namespace]:
    """Yield flags that have this process write where nobody looks, and resume from a copy there."""
    output_dir = params.output_dir
    with TemporaryDirectory() as scratch, open(os.devnull, "w") as null, redirect_stdout(null):
        if params.resume:
            copytree(run_folder(params), Path(scratch) / params.model_name)
        plot = params.plot_model and os.path.join(scratch, "networks.png")
        try:
            yield Namespace(**vars(params) | {"output_dir": scratch, "plot_model": plot})
        except (UserError, Stopped) as error:
            error.args = (str(error).replace(scratch, output_dir),)
            raise


def on_replicas(function: Callable):
    """Call a function on all replicas; return the means of what it returns, as plain tensors."""
    strategy = tf.distribute.get_strategy()
    means = strategy.run(lambda: replica_mean(function()))
    return tf.nest.map_structure(
        lambda copies: strategy.experimental_local_results(copies)[0], means
    )


@tf.function
def mean_of_workers(value: tf.Tensor) -> tf.Tensor:
    """Return the mean over all processes, each of which must call this."""
    return on_replicas(lambda: tf.identity(value))


def any_worker(*flags: bool) -> list[bool]:
    """Return whether each flag holds in any process of the cluster, all of which must ask."""
    if tf.distribute.get_strategy().cluster_resolver is None:
        return [*flags]
    return [mean > 0 for mean in mean_of_workers(tf.constant(flags, tf.float32)).numpy()]
