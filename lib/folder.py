"""The folder of a run: whose it is, what lies in it, and the facts of the run."""

import json
import math
import os
import platform
import re
import shutil
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from lib.errors import UserError
from lib.files import atomic
from lib.tf import keras, tf

import numpy as np

try:
    import fcntl
except ImportError:  # Windows: two processes on one run go unnoticed there
    fcntl = None


def of(params: Namespace) -> Path:
    """The folder of the run that the flags describe."""
    return Path(params.output_dir) / params.model_name


def generator_path(folder: Path) -> Path:
    """Where the generator of a run goes: beside its folder."""
    return folder.with_name(f"{folder.name}.h5")


def sample_grids(folder: Path, last_step: float = math.inf) -> list[Path]:
    """The sample grids in a run's folder up to a step, in order."""
    grids = [path for path in folder.glob("*.png") if re.fullmatch(r"\d{5,}", path.stem)]
    grids.sort(key=lambda path: int(path.stem))
    return [path for path in grids if int(path.stem) <= last_step]


@contextmanager
def claim(params: Namespace) -> Iterator[Path]:
    """Hold a run's folder against other processes, and refuse what would lose a run.

    Args:
        params: the flags; `recorded` says how each of a run's own may change on resume.

    Yields:
        The folder, empty of an earlier run unless that is to be resumed.

    Raises:
        UserError: another process holds it; a run lies there and isn't to be resumed or
            replaced; the run to resume began otherwise, or there is none.
    """
    folder = of(params)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as lock:
        try:
            if fcntl:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"another process trains in {folder}: wait, stop it, or give another --output-dir"
            ) from error
        if params.resume:
            _check_hyperparameters(folder, params)
        elif params.overwrite:
            _clear(folder)
        elif (folder / "run.json").exists() or generator_path(folder).exists():
            raise UserError(
                f"a run lies in {folder} or {generator_path(folder)}: go on with --resume, "
                "replace it with --overwrite, or give another --output-dir"
            )
        yield folder


def recorded_hyperparameters(folder: Path) -> dict:
    """What the run in a folder began with; UserError where none lies."""
    try:
        return json.loads((folder / "run.json").read_text())["hyperparameters"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"there is no run to resume in {folder}: leave out --resume") from error


def _hyperparameters(params: Namespace) -> dict:
    return {name: getattr(params, name) for name in params.recorded}


def _check_hyperparameters(folder: Path, params: Namespace) -> None:
    given = _hyperparameters(params)
    for name, began in recorded_hyperparameters(folder).items():
        now = given.get(name)
        if now != began and params.recorded.get(name) != "change":
            raise UserError(
                f"the run in {folder} has {name} {began}, not {now}: resume it as it began, or "
                "begin anew with --overwrite"
            )


def _clear(folder: Path) -> None:
    """Remove the files of an earlier run, and no others."""
    for name in "checkpoints", "tensorboard":
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in "run.json", "networks.txt", "history.csv", "losses.png", "training.gif":
        (folder / name).unlink(missing_ok=True)
    for path in sample_grids(folder):
        path.unlink()
    generator_path(folder).unlink(missing_ok=True)


def write_facts(folder: Path, params: Namespace, **facts) -> None:
    """Add facts to run.json, which begins with how, where and with what the run began."""
    path = folder / "run.json"
    known = json.loads(path.read_text()) if path.exists() else _origin()
    facts = known | {"hyperparameters": _hyperparameters(params)} | facts
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(facts, indent=2) + "\n")


def timestamp() -> str:
    """The time in ISO 8601, with the zone."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


def _origin() -> dict:
    return {
        "started": timestamp(),
        "versions": {
            "python": platform.python_version(),
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "numpy": np.__version__,
        },
        "machine": {
            "platform": platform.platform(),
            "cores": os.cpu_count(),
            "devices": [device.name for device in tf.config.list_logical_devices()],
        },
    }
