"""The folder of a run: whose it is, what lies in it, and the facts of the run."""

import errno
import json
import math
import os
import platform
import re
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from lib import checkpoint
from lib.errors import UserError
from lib.files import atomic, entries, leftovers, remove
from lib.tf import keras, tf

import numpy as np

try:
    import fcntl
except ImportError:  # Windows: two processes on one run go unnoticed there
    fcntl = None

EVENTS = "tensorboard/events.out.tfevents"
FILES = "run.json", "networks.txt", "history.csv", "losses.png", "training.gif", EVENTS


def of(params: Namespace) -> Path:
    """The folder of the run that the flags describe.

    Raises:
        UserError: TensorFlow would take its path for a pattern when it reads checkpoints.
    """
    folder = Path(params.output_dir) / params.model_name
    if "[" in str(folder) or (os.sep == "/" and "\\" in str(folder)):
        raise UserError(
            f"TensorFlow can't read checkpoints in {folder}, for the [ or \\: rename the folder, or "
            "give another --output-dir"
        )
    return folder


def generator_path(folder: Path) -> Path:
    """Where the generator of a run goes: beside its folder."""
    return folder.with_name(f"{folder.name}.h5")


def sample_grids(folder: Path, last_step: float = math.inf) -> list[Path]:
    """The sample grids in a run's folder up to a step, in order."""
    steps = "[0-9]{5}|[1-9][0-9]{5,9}"
    grids = [path for path in entries(folder) if re.fullmatch(rf"({steps})\.png", path.name)]
    grids.sort(key=lambda path: int(path.stem))
    return [path for path in grids if int(path.stem) <= last_step]


@contextmanager
def claim(params: Namespace, began: dict) -> Iterator[Path]:
    """Hold a run's folder against other processes, and refuse what would lose a run.

    Args:
        params: the flags; `recorded` says how each of a run's own may change on resume.
        began: what a run with these flags begins with, as `origin`.

    Yields:
        The folder, empty of an earlier run unless that is to be resumed.

    Raises:
        UserError: another process holds it; a run lies there and isn't to be resumed or
            replaced; the run to resume began otherwise, or there is none; a folder stands where a
            file goes, or the other way round.
        PermissionError: a folder may not be listed or written.
    """
    folder = of(params)
    folder.mkdir(parents=True, exist_ok=True)
    # for both: opening a pipe for one would wait for the other end
    with open(os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o666), "wb") as lock:
        try:
            if fcntl:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"another process trains in {folder}: wait, stop it, or give another --output-dir"
            ) from error
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP):  # of clusters' disks
                raise
        _check_places(folder)
        if params.resume:
            before = recorded(folder)
            _check_beginning(folder, before, began, params)
            _check_copy(folder / "run.json", before, params)
        elif params.overwrite:
            _clear(folder)
        elif checkpoint.found(folder):
            raise UserError(
                f"a run lies in {folder}: go on with --resume, replace it with --overwrite, or "
                "give another --output-dir"
            )
        elif remains := _remains(folder):
            raise UserError(
                f"a run without a checkpoint left {remains[0]}: replace it with --overwrite, or "
                "give another --output-dir"
            )
        yield folder


def origin(params: Namespace, images: str) -> dict:
    """What a run begins with: how, where and with what.

    Args:
        params: the flags; those in `recorded` belong to the run.
        images: the fingerprint of the training data.
    """
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
            "processor": processor(),
            "cores": os.cpu_count(),
            "devices": [device.name for device in tf.config.list_logical_devices()],
        },
        "script": params.script,
        "model_name": params.model_name,
        "data_sha256": images,
        "hyperparameters": {name: getattr(params, name) for name in params.recorded},
    }


def processor() -> str:
    """The processor's name, where Linux tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def recorded(folder: Path) -> dict:
    """What the run in a folder began with, and was last told, as `origin`.

    The newest checkpoint that is whole has it; run.json is a copy for people.

    Raises:
        UserError: there is none.
    """
    if newest := checkpoint.newest_whole(folder):
        return checkpoint.read_progress(newest).began
    if checkpoint.found(folder):
        raise UserError(f"no checkpoint in {folder} is whole: begin anew with --overwrite")
    anew = "begin anew with --overwrite" if _remains(folder) else "leave out --resume"
    raise UserError(
        f"there is no checkpoint to resume from in {folder}: give the run's --model-name or "
        f"--output-dir, or {anew}"
    )


def recorded_hyperparameters(folder: Path, parser: ArgumentParser) -> dict:
    """The flags of the run in a folder, by name.

    Args:
        folder: the run's.
        parser: the script's, whose `recorded` names the flags of a run. It judges what is
            recorded as if it had been typed.

    Raises:
        UserError: there is no run to resume.
    """
    typed = []
    for name, value in recorded(folder)["hyperparameters"].items():
        flag = name.replace("_", "-")
        if name not in parser.recorded or value is None:
            continue
        if isinstance(value, bool):
            typed.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            typed.append(f"--{flag}={value}")
    params = parser.parse_args(typed)
    return {name: getattr(params, name) for name in parser.recorded}


def _remains(folder: Path) -> list[Path]:
    """What a run leaves before its first checkpoint, or when that is gone."""
    paths = [*(folder / name for name in FILES), generator_path(folder), *sample_grids(folder)]
    return [path for path in paths if os.path.lexists(path)]


def _check_places(folder: Path) -> None:
    """Refuse what a run would stumble over at its first save."""
    folders = [folder / name for name in ("checkpoints", "tensorboard")]
    wrong = [(path, "file") for path in _remains(folder) if not path.is_file()]
    wrong += [(path, "folder") for path in folders if os.path.lexists(path) and not path.is_dir()]
    if wrong:
        path, kind = wrong[0]
        raise UserError(
            f"{path} is in the way, where a {kind} goes: remove it, or give another --output-dir"
        )
    for path in folder.parent, folder, *folders:
        if path.exists() and not os.access(path, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


def _check_beginning(folder: Path, before: dict, began: dict, params: Namespace) -> None:
    """Refuse to go on with a run that began otherwise."""
    if before["model_name"] != began["model_name"]:
        raise UserError(
            f"the run in {folder} is one of {before['model_name']}: give another --output-dir"
        )
    if before.get("script") != began["script"]:
        raise UserError(f"the run in {folder} is another script's: resume it with that one")
    given = began["hyperparameters"]
    for name, value in before["hyperparameters"].items():
        now = given.get(name, "known to this version")
        if now != value and params.recorded.get(name) != "change":
            raise UserError(
                f"the run in {folder} has {name} {value}, not {now}: resume it as it began, or "
                "begin anew with --overwrite"
            )
    if before["data_sha256"] != began["data_sha256"]:
        raise UserError(
            f"the run in {folder} began with other images than {params.data or 'MNIST'} holds: "
            "give those as --data, or begin anew with --overwrite"
        )


def _check_copy(path: Path, before: dict, params: Namespace) -> None:
    """Refuse a run.json that contradicts the checkpoint; one that is damaged is written anew."""
    try:
        if not path.is_file() or path.stat().st_size > 2**20:
            raise ValueError
        copied = _identity(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        write_facts(path.parent, before)
        print(f"{path} was missing or damaged: written anew from the checkpoint", flush=True)
        return
    for name, value in _identity(before).items():
        if copied.get(name) == value:
            continue
        contradiction = f"{path} contradicts the checkpoint, which has {name} {value}"
        if params.recorded.get(name) != "change":
            raise UserError(f"{contradiction}: mend or remove it, it is a copy")
        print(f"{contradiction}: written anew", flush=True)


def _identity(facts: dict) -> dict:
    """What makes a run the one it is, by name."""
    names = "model_name", "data_sha256"
    return {name: facts[name] for name in names} | facts["hyperparameters"]


def _clear(folder: Path) -> None:
    """Remove the files of an earlier run, and no others; the next generator replaces its own."""
    last_step = math.inf
    with suppress(OSError, UserError):  # pictures that are named after a date, say, stay
        last_step = recorded(folder)["hyperparameters"]["train_steps"]
    # first what may be resumed
    for path in *checkpoint.parts(folder), *sample_grids(folder, last_step):
        remove(path)
    for name in FILES:
        (folder / name).unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of a run that was killed."""
    for path in *leftovers(folder / "*"), *leftovers(generator_path(folder)):
        path.unlink()


def write_facts(folder: Path, began: dict, **facts) -> None:
    """Write run.json: what the run began with, and further facts."""
    with atomic(folder / "run.json") as temporary:
        temporary.write_text(json.dumps(began | facts, indent=2) + "\n")


def timestamp() -> str:
    """The time in ISO 8601, with the zone."""
    return datetime.now().astimezone().isoformat(timespec="seconds")
