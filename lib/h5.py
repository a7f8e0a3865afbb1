"""What an h5 holds of a generator, whoever made it.

On damaged files HDF5 may crash, loop for ever, deaf to signals, or take gigabytes. So `opened` has
a process of its own read all of it first: `python h5.py FILE` says nothing, or what is wrong.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import h5py

# More than a generator has: of layers and weights, and of bytes that are no weights.
MAX_NAMES = 1000
MAX_BESIDE = 2**24
# What reading may take: fifty times what it does of the processor's time, ten times of memory.
SECONDS = 10
MEMORY = 2**28


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """Open a file that can be read.

    Raises:
        ValueError: it can't.
    """
    command = [sys.executable, "-P", "-W", "ignore", __file__, path]
    try:
        subprocess.run(command, capture_output=True, text=True, check=True, timeout=60 * SECONDS)
    except subprocess.SubprocessError as error:
        raise ValueError(error.stderr or "HDF5 can't read it") from error
    with h5py.File(path) as file:
        yield file


def stored_weights(file: h5py.File) -> list[h5py.Dataset]:
    """A model's weights in the order of its layers, none of them read.

    Raises:
        Exception: of any kind, where one isn't stored in this very file, and in full.
    """
    # asked for before any name is looked up, in which another file, or a pipe, would be opened
    if file.id.links.visit(lambda _, link: link.type != h5py.h5l.TYPE_HARD or None, info=True):
        raise ValueError("it has links")
    found = {}

    def note(name, item):
        found[name] = item
        return len(found) > MAX_NAMES or None

    file.visititems(note)
    whole = {name: item for name, item in found.items() if is_whole(item)}
    beside = file.id.get_filesize() - sum(item.nbytes for item in whole.values())
    if not 0 <= beside <= MAX_BESIDE:
        raise ValueError(f"{beside:,} bytes are no weights")
    paths = [
        f"model_weights/{layer}/{weight}"
        for layer in names(found["model_weights"], "layer_names")
        for weight in names(found[f"model_weights/{layer}"], "weight_names")
    ]
    if len(set(paths)) < len(paths):  # each would be read again
        raise ValueError("it names a weight twice")
    for path in paths:
        if path not in whole:
            raise ValueError(f"{path} isn't stored in it whole, in one piece and uncompressed")
    weights = [whole[path] for path in paths]
    if any(weight.dtype.kind != "f" for weight in weights):
        raise ValueError("its weights are no real numbers")
    return weights


def is_whole(item) -> bool:
    """Whether it is a dataset as Keras writes it: no reference, no hole, no compressed zeros."""
    return (
        isinstance(item, h5py.Dataset)
        and not item.external
        and not item.is_virtual
        and not item.chunks  # which may be one and the same
        and item.id.get_storage_size() == item.nbytes
    )


def names(group: h5py.Group, attribute: str) -> list[str]:
    """The names of layers or weights that an attribute holds."""
    (count,) = group.attrs.get_id(attribute).shape
    if count > MAX_NAMES:
        raise ValueError(f"{count:,} {attribute}")
    return [name.decode() if isinstance(name, bytes) else name for name in group.attrs[attribute]]


def declared_sizes(file: h5py.File) -> tuple[list[int], int]:
    """What the network's description says: the widths of its inputs (noise, then labels, then
    codes), and the units of its first layer.
    """
    if file.attrs.get_id("model_config").shape != ():
        raise ValueError("its description is no text")
    layers = json.loads(file.attrs["model_config"])["config"]["layers"]
    found = [(layer["class_name"], layer["config"]) for layer in layers]
    # Keras 2 calls it batch_input_shape, Keras 3 batch_shape.
    widths = [
        (config.get("batch_shape") or config["batch_input_shape"])[1]
        for name, config in found
        if name == "InputLayer"
    ]
    return widths, next(config["units"] for name, config in found if name == "Dense")


def read_all(path: str) -> None:
    """Read all that matters of a generator, within the limits that the system has."""
    if hasattr(signal, "setitimer"):  # ends this process, be it alone by then
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
    if sys.platform == "linux":
        import resource

        with suppress(OSError, ValueError):  # there is no /proc, or less is allowed already
            now = resource.getpagesize() * int(Path("/proc/self/statm").read_text().split()[0])
            limit = now + os.path.getsize(path) + MEMORY
            _, most = resource.getrlimit(resource.RLIMIT_AS)
            resource.setrlimit(resource.RLIMIT_AS, (limit, most))
    status = os.stat(path)
    on_disk = 512 * getattr(status, "st_blocks", 0) or status.st_size  # not all systems tell
    if status.st_size > max(MAX_BESIDE, 2 * on_disk):
        raise ValueError("it is mostly holes, as an aborted download leaves")
    with h5py.File(path) as file:
        for weight in stored_weights(file):
            weight[()]
        declared_sizes(file)
        file.attrs.get("data")


if __name__ == "__main__":
    try:
        read_all(sys.argv[1])
    except Exception as error:  # noqa: BLE001  (there is no end to what a file can hold)
        sys.exit(str(error) or type(error).__name__)
