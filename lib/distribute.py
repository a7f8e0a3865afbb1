"""Data-parallel training on TensorFlow's own engine, tf.distribute.

Every replica holds the whole of each model and draws its share of each batch; gradients are
summed over all of them, so a step is that of one device on the whole batch. Batch
normalization alone sees the replica's share; its moving averages are the means of all replicas'.
After each step all hold the same weights, bit for bit.
"""

import hashlib
import json
import os
import re
import signal
import socket
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from functools import partial
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory
from zlib import crc32

from lib import checkpoint, folder
from lib.errors import Stopped, UserError
from lib.files import reading
from lib.tf import tf

# What TensorFlow raises where another worker has ended, is frozen, or can't be reached.
LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)


@contextmanager
def scope(params: Namespace) -> Iterator[Namespace]:
    """Train in this context as --distribute and TF_CONFIG say.

    Args:
        params: the flags.

    Yields:
        The flags to train with: a process of a cluster that isn't to write writes elsewhere.

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
    """The strategy to train under.

    Args:
        devices: "gpu" for all visible GPUs, "cpu:N" for N logical devices of the processor, None
            for one device. Where TF_CONFIG names a cluster, its workers each use all they have.

    Raises:
        UserError: TF_CONFIG names no cluster, or one that can't be joined; there is no such device.
    """
    kind, _, count = (devices or "").partition(":")
    if kind == "gpu" and not tf.config.list_physical_devices("GPU"):
        raise UserError("--distribute finds no GPU: leave it out, or try --distribute=cpu:2")
    if "TF_CONFIG" in os.environ:
        if kind == "cpu":
            raise UserError("--distribute=cpu:N is for one machine: leave it out, or TF_CONFIG")
        return cluster(os.environ["TF_CONFIG"])
    if kind == "cpu":
        (processor,) = tf.config.list_physical_devices("CPU")
        logical = [tf.config.LogicalDeviceConfiguration()] * int(count)
        tf.config.set_logical_device_configuration(processor, logical)
        return tf.distribute.MirroredStrategy([f"cpu:{index}" for index in range(int(count))])
    return tf.distribute.MirroredStrategy() if devices else tf.distribute.get_strategy()


def cluster(text: str) -> tf.distribute.Strategy:
    """The strategy of the cluster in `text`, once all its workers are there."""
    try:
        config = json.loads(text)
        jobs, task = config["cluster"], config["task"]
        places = {(job, index): place for job in jobs for index, place in enumerate(jobs[job])}
        own = places[task["type"], task["index"]]
        if not (
            jobs.keys() <= {"chief", "worker"}
            and all(isinstance(hosts, list) and hosts for hosts in jobs.values())
            and len(jobs.get("chief", [])) <= 1
            and len({*map(address, places.values())}) == len(places)
        ):
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            "TF_CONFIG must name a cluster and this process's task in it, as in "
            '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, '
            '"task": {"type": "worker", "index": 0}}'
        ) from error
    others = [place for place in places.values() if place != own]
    print(f"{own} waits for {', '.join(others) or 'nobody'}", flush=True)
    handlers = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        # TensorFlow waits in native code, where Python's handlers aren't heard, and keeps SIGTERM
        # for itself: let it begin when all are there.
        await_others(own, others)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver(rpc_layer="grpc")
        return tf.distribute.MultiWorkerMirroredStrategy(resolver)
    except (OSError, tf.errors.OpError) as error:
        reason = getattr(error, "message", str(error)).splitlines()[0]
        raise UserError(
            f"can't join TF_CONFIG's cluster as {own}: {reason}; is the port free, are all "
            "workers up?"
        ) from error
    finally:
        for signum, handler in handlers.items():
            signal.signal(signum, handler)


def address(place: str) -> tuple[str, int]:
    """Host and port of HOST:PORT, where an IPv6 address stands in brackets.

    Raises:
        ValueError, AttributeError, TypeError: it is none.
    """
    host, port = re.fullmatch(r"([^:\[\]]+|\[[^\[\]]*:[^\[\]]*\]):(\d+)", place).groups()
    host.encode("idna")  # raises what would only be told when a name is looked up
    if not (0 < int(port) < 2**16 and place.isprintable()):
        raise ValueError
    return host.strip("[]"), int(port)


def await_others(own: str, others: list[str]) -> None:
    """Listen as HOST:PORT until a connection to each of the others was possible.

    Raises:
        UserError: this process can't be reached as `own`.
        OSError: the port is not free.
    """
    with listen(address(own)[1]) as server:
        server.settimeout(5)
        try:
            # that the connection arrives here, too: networks exist that answer for any address
            with socket.create_connection(address(own), timeout=5):
                server.accept()[0].close()
        except OSError as error:
            raise UserError(
                f"TF_CONFIG has this process at {own}, where it can't be reached ({error}): "
                "correct it"
            ) from error
        for place in others:
            while True:
                try:
                    socket.create_connection(address(place), timeout=1).close()
                    break
                except OSError:  # not there yet
                    time.sleep(0.2)


def listen(port: int) -> socket.socket:
    """A server on all of this machine's addresses; an OSError where the port is not free."""
    try:
        return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    except (OSError, ValueError):  # no IPv6 here
        return socket.create_server(("", port))


def is_chief(training: tf.distribute.MultiWorkerMirroredStrategy) -> bool:
    """Whether this process is the one that writes."""
    resolver = training.cluster_resolver
    chief = "chief" if "chief" in resolver.cluster_spec().jobs else "worker"
    return (resolver.task_type, resolver.task_id) == (chief, 0)


def check_agreement(params: Namespace) -> None:
    """Raise a UserError on every worker unless all were started alike."""
    facts = {name: getattr(params, name) for name in params.shared}
    if params.data:
        with (
            reading(params.data, ".npz", "images in MNIST's layout") as path,
            path.open("rb") as file,
        ):
            facts["data"] = hashlib.file_digest(file, "sha256").hexdigest()
    if params.resume:
        facts["checkpoint"] = Path(checkpoint.newest_whole(folder.of(params)) or "").name
    own = float(crc32(json.dumps(facts, sort_keys=True).encode()))
    if abs(mean_of_workers(tf.constant(own, tf.float64)) - own) > 0.5:
        raise UserError(
            "the workers differ in script, flags, data, or the checkpoint to go on from: start all "
            "alike, with the writer's folder"
        )


@contextmanager
def scratch_output(params: Namespace) -> Iterator[Namespace]:
    """Flags that have this process write where nobody looks, and resume from a copy there."""
    output_dir = params.output_dir
    with TemporaryDirectory() as place, open(os.devnull, "w") as null, redirect_stdout(null):
        if params.resume:
            copytree(folder.of(params), Path(place) / params.model_name)
        plot = params.plot_model and os.path.join(place, "networks.png")
        try:
            yield Namespace(**vars(params) | {"output_dir": place, "plot_model": plot})
        except (UserError, Stopped) as error:
            error.args = (str(error).replace(place, output_dir),)
            raise


def mean(values):
    """The means of tensors over all replicas; to be called by each of them."""
    replica = tf.distribute.get_replica_context()
    return values if replica.num_replicas_in_sync == 1 else replica.all_reduce("mean", values)


def on_replicas(function: Callable):
    """The means of what `function` returns on the replicas, as plain tensors."""
    strategy = tf.distribute.get_strategy()
    means = strategy.run(lambda: mean(function()))
    return tf.nest.map_structure(
        lambda copies: strategy.experimental_local_results(copies)[0], means
    )


@tf.function
def mean_of_workers(value: tf.Tensor) -> tf.Tensor:
    """The mean over all processes, each of which must call this."""
    return on_replicas(lambda: tf.identity(value))


def any_worker(*flags: bool) -> list[bool]:
    """Whether each of the flags holds in any process of the cluster, all of which must ask."""
    if tf.distribute.get_strategy().cluster_resolver is None:
        return [*flags]
    return [mean > 0 for mean in mean_of_workers(tf.constant(flags, tf.float32)).numpy()]


def compile_step(step: Callable[..., dict], *arguments) -> Callable[[], dict]:
    """Compile a training step on its arguments, as one graph.

    Args:
        step: returns its metrics as scalars.
        arguments: of the step.

    Returns:
        Takes the step on all replicas, and returns the means of their metrics.
    """
    bound = partial(step, *arguments)
    if not tf.distribute.has_strategy():
        return tf.function(bound)
    return tf.function(lambda: on_replicas(bound))
