"""The folder of a run: whose it is, what lies in it, and the run's metadata."""

import json
import os
import platform
import re
import shutil
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from lib.plumbing.errors import UserError
from lib.plumbing.files import atomic, flush, remove_leftovers
from lib.plumbing.tf import keras, tf
from lib.training.defaults import CHANGEABLE, PROCESS

import numpy as np

try:
    import fcntl
except ImportError:  # Windows: two processes on one run go unnoticed there
    fcntl = None

# What a run leaves in its folder, beside its sample grids.
FILES = "run.json", "networks.txt", "history.csv", "losses.png", "training.gif", "real.png"
FILES += ("scores.png",)
FOLDERS = "checkpoints", "tensorboard", "generators", "code1", "code2"  # the last two InfoGAN's


def run_folder(params: Namespace) -> Path:
    r"""Return the folder of the run that the flags describe.

    Raises:
        UserError: its path has a `[` or, where that separates no folders, a `\`, by which TensorFlow
            finds no checkpoint.
    """
    folder = Path(params.output_dir, params.model_name)
    for sign in "[\\":
        if sign in folder.as_posix():
            raise UserError(
                f"TensorFlow can't read checkpoints in {folder}, for the {sign}: rename it"
            )
    return folder


def generator_path(folder: Path) -> Path:
    """Return where the generator of a run goes: beside its folder."""
    return folder.with_name(f"{folder.name}.h5")


def best_path(folder: Path) -> Path:
    """Return where a run's generator of the lowest Fréchet distance goes."""
    return folder.with_name(f"{folder.name}_best.h5")


def sample_grids(folder: Path) -> list[Path]:
    """Return the sample grids in a run's folder, in order."""
    grids = [path for path in folder.glob("*.png") if re.fullmatch(r"\d{5,7}", path.stem)]
    return sorted(grids, key=lambda path: int(path.stem))


@contextmanager
def claimed(folder: Path, resume: bool, overwrite: bool) -> Iterator[None]:
    """Lock a run's folder; refuse one with a run unless `resume` or `overwrite`.

    Raises:
        UserError: another process holds it, or it has a run.
        OSError: it can't be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "a") as lock:
        try:
            if fcntl:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"another process trains in {folder}: wait, stop it, or give another --output-dir"
            ) from error
        except OSError:
            print("this file system has no locks: let no other process train in the same folder")
        if not flush(folder):
            print("this file system flushes no folders: a power cut may undo the last save")
        if overwrite:
            clear(folder)
        elif not resume and (left := remains(folder)):
            raise UserError(
                f"there is a run already, with {left[0]}: go on with --resume, replace it with "
                "--overwrite, or give another --output-dir"
            )
        remove_leftovers(folder / "*")
        for path in generator_path(folder), best_path(folder), folder / "generators" / "*":
            remove_leftovers(path)
        yield


def remains(folder: Path) -> list[Path]:
    """Return a run's files, its generator included, which no other run may replace."""
    paths = [folder / name for name in (*FOLDERS, *FILES)]
    paths += [generator_path(folder), best_path(folder)]
    return [path for path in paths if os.path.lexists(path)]


def clear(folder: Path) -> None:
    """Remove an earlier run's files, no others; its generator stays until the next save."""
    for name in FOLDERS:  # first what may be resumed
        if (folder / name).is_dir():
            shutil.rmtree(folder / name)
    for path in *(folder / name for name in FILES), *sample_grids(folder), best_path(folder):
        path.unlink(missing_ok=True)


def describe(params: Namespace, draw) -> dict:
    """Return a run's metadata: how, where and with what it begins, as JSON gives it back."""
    metadata = {
        "started": timestamp(),
        "versions": {
            "python": platform.python_version(),
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "numpy": np.__version__,
        },
        "machine": {
            "platform": platform.platform(),
            "processor": processor(),
            "cores": os.cpu_count(),
            "devices": [device.name for device in tf.config.list_logical_devices()],
        },
        "script": params.script,
        "model_name": params.model_name,
        "data_sha256": draw.dataset.fingerprint(),
        "classes": draw.dataset.classes,
        "parameters": {name: value for name, value in vars(params).items() if name not in PROCESS},
    }
    return json.loads(json.dumps(metadata, default=lambda v: getattr(v, "tolist", v.__str__)()))


def check_same_run(folder: Path, before: dict, now: dict) -> None:
    """Refuse to go on with a run that began otherwise, by its metadata.

    Raises:
        UserError: it is another script's, or has other parameters or images.
    """
    if before["script"] != now["script"]:
        raise UserError(f"the run in {folder} is of {before['script']}: give another --output-dir")
    for name, value in before["parameters"].items():
        given = now["parameters"].get(name)
        if given != value and name not in CHANGEABLE:
            raise UserError(
                f"the run in {folder} has {name} {value}, not {given}: resume it as it began, or "
                "begin anew with --overwrite"
            )
    if before["data_sha256"] != now["data_sha256"]:
        raise UserError(
            f"the run in {folder} began with other images: give those as --data, or begin anew "
            "with --overwrite"
        )


def write_metadata(folder: Path, metadata: dict) -> None:
    """Write run.json, which no run reads."""
    with atomic(folder / "run.json") as temporary:
        temporary.write_text(json.dumps(metadata, indent=2) + "\n")


def processor() -> str:
    """Return the processor's name, where Linux tells it."""
    info = Path("/proc/cpuinfo")
    name = re.search(
        r"^model name\s*: (.*)", info.read_text() if info.exists() else "", re.MULTILINE
    )
    return name[1] if name else platform.processor()


def timestamp() -> str:
    """Return the time in ISO 8601, with the zone."""
    return datetime.now().astimezone().isoformat(timespec="seconds")
