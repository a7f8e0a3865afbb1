"""Runs whose files are damaged, missing, or not what they were: never lost, never begun again."""

import shutil
from pathlib import Path

from lib.plumbing.errors import UserError
from lib.training.checkpoints import prefixes

import pytest
import tensorflow as tf
from helpers import results, toy_run

STEPS = 6  # checkpoints after steps 4 and 6, grids after 1, 4 and 6
PARTS = "index", "data-00000-of-00001"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Return the folder of a finished run."""
    folder = tmp_path_factory.mktemp("finished")
    toy_run(folder, train_steps=STEPS)
    return folder


@pytest.fixture
def run(finished, tmp_path):
    """Copy it; return the run's folder in the copy."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    return tmp_path / "toy"


def resume(run, steps=STEPS + 1, **params):
    return toy_run(run.parent, resume=True, train_steps=steps, **params)


def snapshot(folder):
    """Return every file below a folder, with its time and content; the lock is none of a run's."""
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    """Change one bit."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "part, damage",
    [(PARTS[0], Path.unlink), (PARTS[0], truncate), (PARTS[1], truncate), (PARTS[1], flip)],
)
def test_a_run_goes_on_from_the_older_checkpoint(part, damage, run, finished, capsys):
    damage(run / "checkpoints" / f"ckpt-6.{part}")
    leftovers = [
        run / "checkpoints/ckpt-8_temp",
        run / ".tmp.0.png.x",
        run.parent / ".tmp.toy.h5.x",
    ]
    for leftover in leftovers:  # of saves that were killed
        leftover.mkdir()
        (leftover / "part").write_text("of a save that was killed")
    resume(run, STEPS)
    out = capsys.readouterr().out
    assert ("ckpt-6 is damaged: going on from" in out) == (damage != Path.unlink)
    assert "resumed after step 4" in out
    assert results(run) == results(finished / "toy")
    left = {path.name for path in (run / "checkpoints").glob("ckpt-*")}
    assert left >= {f"ckpt-{step}.{part}" for step in (4, 6) for part in PARTS}
    assert not any(leftover.exists() for leftover in leftovers[:1] + leftovers[2:])


def remove_checkpoints(run):
    shutil.rmtree(run / "checkpoints")


def damage_all(run):
    for path in (run / "checkpoints").glob("*.index"):
        path.write_bytes(b"")


def of_another_kind(run):
    tf.train.Checkpoint(weight=tf.Variable(1.0)).write(str(run / "checkpoints" / "ckpt-7"))


@pytest.mark.parametrize(
    "meddle, message",
    [
        (remove_checkpoints, "saved no checkpoint: begin anew with --overwrite"),
        (damage_all, "no checkpoint in .* is whole.*--overwrite"),
        (of_another_kind, "ckpt-7 is of other networks.*--overwrite"),
    ],
)
def test_what_cannot_be_resumed_is_left_as_it_is(meddle, message, run):
    meddle(run)
    before = snapshot(run.parent)
    with pytest.raises(UserError, match=message):
        resume(run)
    with pytest.raises(UserError, match="--overwrite"):
        toy_run(run.parent)
    assert snapshot(run.parent) == before


def test_overwrite_keeps_the_generator_until_there_is_another(run):
    old = (run.parent / "toy.h5").read_bytes()

    def fail(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        toy_run(run.parent, fail, overwrite=True)
    assert (run.parent / "toy.h5").read_bytes() == old


@pytest.mark.parametrize("name", ["losses.png", "checkpoints"])
def test_a_folder_in_a_files_place_or_the_other_way_round(name, run):
    """Fail by an OSError, which scripts tell in a line, and lose nothing."""
    place = run / name
    place.rename(run / "elsewhere")
    if (run / "elsewhere").is_dir():
        place.write_text("a file")
    else:
        place.mkdir()
    with pytest.raises((OSError, UserError)):
        resume(run)
    assert place.exists()
    if name != "checkpoints":
        assert prefixes(run)


def test_files_of_others_stay_and_a_damaged_grid_is_left_out(run, capsys):
    names = "notes.txt", "20251126.png", "tensorboard/notes.txt", "checkpoints/ckpt-best.h5"
    for name in names:
        (run / name).write_text("of others")
    (run / "00004.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    resume(run)
    out = capsys.readouterr().out
    assert "resumed after step 6" in out
    assert "00004.png is damaged: left out" in out
    assert (run / "training.gif").exists()
    assert [(run / name).read_text() for name in names] == ["of others"] * len(names)
    toy_run(run.parent, overwrite=True, train_steps=1)
    assert [(run / name).read_text() for name in names[:2]] == ["of others"] * 2
