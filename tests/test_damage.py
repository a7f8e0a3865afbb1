"""Runs whose files are damaged, missing, or not what they were: never lost, never begun again."""

import errno
import json
import os
import resource
import shutil
from pathlib import Path

from lib import checkpoint, data

import pytest
import tensorflow as tf
from helpers import main, train
from lib.errors import Finished, UserError
from lib.files import atomic

STEPS = 6  # checkpoints after steps 4 and 6, grids after 1, 4 and 6


@pytest.fixture(scope="module")
def small(mnist):
    return data.Dataset(*(array[:64] for array in mnist))


@pytest.fixture(scope="module")
def finished(tmp_path_factory, small):
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("finished")
    train("lsgan", folder, small, steps=STEPS)
    return folder


@pytest.fixture
def run(finished, tmp_path):
    """A copy of it, and the run's folder there."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    return tmp_path / "lsgan_mnist"


def resume(run, dataset, *flags, steps=STEPS + 1):
    return train("lsgan", run.parent, dataset, "--resume", *flags, steps=steps)


def snapshot(folder):
    """Every file below a folder, with its time and content; the lock is none of a run's."""
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def edit(change):
    """Damages a file by changing its bytes."""
    return lambda path: path.write_bytes(change(path.read_bytes()))


def flip(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


DAMAGES = {
    "missing": Path.unlink,
    "empty": edit(lambda content: b""),
    "truncated": edit(lambda content: content[: len(content) // 2]),
    "flipped": edit(flip),
    "garbled": edit(lambda content: bytes(len(content))),
    "pipe": lambda path: (path.unlink(), os.mkfifo(path)),
}
PARTS = "index", "data-00000-of-00001"


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("part", PARTS)
def test_a_damaged_checkpoint_is_seen(part, damage, run):
    DAMAGES[damage](run / "checkpoints" / f"ckpt-6.{part}")
    before = snapshot(run)
    assert checkpoint.newest_whole(run) == str(run / "checkpoints" / "ckpt-4")
    assert snapshot(run) == before


@pytest.mark.parametrize(
    "part, damage", [("index", "garbled"), (PARTS[1], "flipped"), ("index", "pipe")]
)
def test_a_run_goes_on_from_the_older_checkpoint(part, damage, run, finished, small, capsys):
    DAMAGES[damage](run / "checkpoints" / f"ckpt-6.{part}")
    state = run / "checkpoints" / "checkpoint"  # TensorFlow's, of which nothing depends
    state.write_text('model_checkpoint_path: "/elsewhere/ckpt-9"')
    leftover = run / "checkpoints" / "ckpt-8_temp"
    leftover.mkdir()
    (leftover / "part-00000-of-00001.data-00000-of-00001").write_text("of a save that was killed")
    for place in run, run.parent:
        (place / ".tmp.0123abcd.lsgan_mnist.h5").write_text("of a save that was killed")
    resume(run, small, steps=STEPS)
    out = capsys.readouterr().out
    assert out.count("ckpt-6 is damaged: going on from") == 1
    assert "resumed after step 4" in out
    for name in "history.csv", "00006.png", "training.gif":
        assert (run / name).read_bytes() == (finished / "lsgan_mnist" / name).read_bytes()
    left = sorted(path.name for path in (run / "checkpoints").glob("ckpt-*"))
    assert left == sorted(f"ckpt-{step}.{part}" for step in (4, 6) for part in PARTS)
    assert not [*run.glob(".tmp*"), *run.parent.glob(".tmp*")]


def test_a_checkpoint_that_may_not_be_read_is_not_called_damaged(run, monkeypatch):
    def refuse(path, mode):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "open", refuse)  # root may read everything
    with pytest.raises(PermissionError, match="ckpt-6"):
        checkpoint.newest_whole(run)


def remove_checkpoints(run):
    shutil.rmtree(run / "checkpoints")


def test_checkpoints_that_may_not_be_listed_are_not_taken_for_none(run, monkeypatch):
    def refuse(path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "iterdir", refuse)  # root may read everything
    with pytest.raises(PermissionError, match="checkpoints"):
        checkpoint.found(run)


def damage_all(run):
    for path in (run / "checkpoints").glob("*.index"):
        path.write_bytes(b"")


def of_another_version(run):
    tf.train.Checkpoint(weight=tf.Variable(1.0)).write(str(run / "checkpoints" / "ckpt-7"))


def with_other_weights(run):
    progress = checkpoint.read_progress(checkpoint.newest_whole(run))
    tf.train.Checkpoint(progress=progress).write(str(run / "checkpoints" / "ckpt-7"))


def without_random_numbers(run):
    newest = checkpoint.newest_whole(run)
    reader = tf.train.load_checkpoint(newest)
    names = [name for name in reader.get_variable_to_shape_map() if not name.startswith("rng")]
    tf.raw_ops.SaveV2(
        prefix=newest,
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=[reader.get_tensor(name) for name in names],
    )


def copy_changed(**changes):
    """Has run.json say something else than the checkpoint."""

    def change(run):
        facts = json.loads((run / "run.json").read_text())
        facts |= {name: value for name, value in changes.items() if name in facts}
        facts["hyperparameters"] |= changes
        (run / "run.json").write_text(json.dumps(facts))

    return change


@pytest.mark.parametrize(
    "meddle, message",
    [
        (remove_checkpoints, "no checkpoint to resume from.*--overwrite"),
        (damage_all, "no checkpoint in .* is whole.*--overwrite"),
        (of_another_version, "ckpt-7 is of another version.*--overwrite"),
        (with_other_weights, "ckpt-7 is of another version.*--overwrite"),
        (without_random_numbers, "ckpt-6 is of another version.*--overwrite"),
        (copy_changed(batch_size=-8), "contradicts the checkpoint, which has batch_size 8"),
        (copy_changed(batch_size=None), "contradicts the checkpoint, which has batch_size 8"),
        (copy_changed(lr=[1]), "contradicts the checkpoint, which has lr 0.0002"),
        (copy_changed(precision="float99"), "which has precision float32"),
        (copy_changed(model_name="../elsewhere"), "which has model_name lsgan_mnist"),
    ],
)
def test_what_cannot_be_resumed_is_left_as_it_is(meddle, message, run, small):
    meddle(run)
    before = snapshot(run.parent)
    with pytest.raises(UserError, match=message):
        resume(run, small)
    with pytest.raises(UserError, match="--overwrite"):
        train("lsgan", run.parent, small)
    assert snapshot(run.parent) == before


@pytest.mark.parametrize(
    "content",
    [
        None,
        "",
        '{"hyperparameters": {"lr"',
        "null",
        "[]",
        '{"hyperparameters": null}',
        "[" * 100_000,
    ],
)
def test_a_damaged_run_json_is_written_anew(content, run, small, capsys):
    path = run / "run.json"
    began = json.loads(path.read_text())
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    resume(run, small)
    assert "run.json was missing or damaged: written anew" in capsys.readouterr().out
    facts = json.loads(path.read_text())
    assert facts["hyperparameters"] == began["hyperparameters"] | {"train_steps": STEPS + 1}
    assert facts["started"] == began["started"]


def test_a_finished_run_s_run_json_is_written_anew_too(run, small):
    began = json.loads((run / "run.json").read_text())
    (run / "run.json").unlink()
    with pytest.raises(Finished):
        resume(run, small, steps=STEPS)
    facts = json.loads((run / "run.json").read_text())
    assert facts.items() <= began.items()
    assert facts["hyperparameters"]["train_steps"] == STEPS


@pytest.mark.parametrize(
    "name, value",
    [
        ("began", {}),
        ("began", []),
        ("began", {"hyperparameters": [], "model_name": "lsgan_mnist", "data_sha256": ""}),
        ("step", "6"),
        ("step", 10**30),
        ("step", -1),
        ("seconds", "long"),
        ("recent", "text"),
        ("recent", [{"loss": "text"}]),
        ("recent", [{"loss": 1e308}]),
        ("recent", [{"lo\ud800ss": 0.5}]),
        ("history", None),
        ("history", [{"loss": 0.5}]),
        ("history", [{"step": 0.5, "loss": 0.5}]),
        ("history", [{"step": 5, "lo\nss": 0.5}]),
    ],
)
def test_a_strangers_checkpoint_is_refused(name, value, run, small):
    newest = checkpoint.newest_whole(run)
    progress = checkpoint.read_progress(newest)
    setattr(progress, name, value)
    tf.train.Checkpoint(progress=progress).write(newest)
    before = snapshot(run.parent)
    with pytest.raises(UserError, match="ckpt-6 is of another version of these scripts"):
        resume(run, small)
    assert snapshot(run.parent) == before


def test_what_is_recorded_is_judged_as_if_typed(run, monkeypatch, capsys):
    """A stranger's checkpoint can't write elsewhere, nor ask for what no flag takes."""
    newest = checkpoint.newest_whole(run)
    progress = checkpoint.read_progress(newest)
    hyperparameters = progress.began["hyperparameters"]
    hyperparameters |= {"output_dir": "/elsewhere", "generator": "x.h5", "batch_size": -8}
    tf.train.Checkpoint(progress=progress).write(newest)
    monkeypatch.chdir(run.parent)
    assert main("lsgan", ["--resume"], monkeypatch) == 2
    assert "'-8' is no whole number from 1" in capsys.readouterr().err
    assert not os.path.exists("/elsewhere")


@pytest.mark.parametrize("part", ["x_train", "y_train"])
def test_other_data_is_refused(part, run, small):
    array = getattr(small, part).copy()
    array.flat[0] += 1
    before = snapshot(run.parent)
    with pytest.raises(UserError, match="other images than MNIST holds"):
        resume(run, small._replace(**{part: array}))
    assert snapshot(run.parent) == before


def test_a_finished_run_says_so(run, small, capsys):
    before = snapshot(run.parent)
    with pytest.raises(Finished):
        resume(run, small, steps=STEPS)
    out = capsys.readouterr().out
    assert "finished after step 6" in out
    assert "--resume --train-steps=12" in out
    assert snapshot(run.parent) == before


def test_a_damaged_grid_is_left_out(run, small, capsys):
    (run / "00004.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    resume(run, small)
    assert "00004.png is damaged: left out" in capsys.readouterr().out
    assert (run / "training.gif").exists()


def test_overwrite_keeps_the_generator_until_there_is_another(run, small):
    old = (run.parent / "lsgan_mnist.h5").read_bytes()

    def fail(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train("lsgan", run.parent, small, "--overwrite", meddle=fail)
    assert (run.parent / "lsgan_mnist.h5").read_bytes() == old


@pytest.mark.parametrize("name", ["losses.png", "00004.png", "checkpoints", "tensorboard"])
@pytest.mark.parametrize("flag", ["--resume", "--overwrite"])
def test_a_folder_in_a_files_place_or_the_other_way_round(name, flag, run, small):
    (run / name).rename(run / "elsewhere")
    if (run / "elsewhere").is_dir():
        (run / name).write_text("a file")
    else:
        (run / name).mkdir()
    before = snapshot(run.parent)
    with pytest.raises(UserError, match=f"{name} is in the way"):
        train("lsgan", run.parent, small, flag, steps=STEPS + 1)
    assert snapshot(run.parent) == before


@pytest.mark.parametrize("name", ["history.csv", "checkpoints", "../lsgan_mnist.h5"])
def test_a_link_to_what_is_gone_is_not_replaced(name, run, small):
    path = run / name
    path.rename(run.parent / "elsewhere")
    path.symlink_to("on a disk that is not there")
    with pytest.raises(UserError, match=f"{path.name} is in the way"):
        train("lsgan", run.parent, small, "--overwrite", steps=STEPS)
    assert path.is_symlink()


@pytest.mark.parametrize("place", [".", "checkpoints", ".."])
@pytest.mark.parametrize("flag", ["--resume", "--overwrite"])
def test_a_folder_that_may_not_be_written_is_told_at_once(place, flag, run, small, monkeypatch):
    place = (run / place).resolve()
    monkeypatch.setattr(os, "access", lambda path, mode: path != place)  # root may write anywhere
    before = snapshot(run.parent)
    with pytest.raises(PermissionError, match=f"{place.name}'$"):
        train("lsgan", run.parent, small, flag, steps=STEPS + 1)
    assert snapshot(run.parent) == before


def test_events_that_cannot_be_written(run, small, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: True)  # as where a server decides
    shutil.rmtree(run / "tensorboard")
    (run / "tensorboard").symlink_to("/proc/self")
    with pytest.raises(OSError, match="events.out.tfevents"):
        resume(run, small)


def test_events_that_may_not_be_written_are_replaced(run, small, monkeypatch):
    events = run / "tensorboard" / "events.out.tfevents"
    before = events.read_bytes()
    monkeypatch.setattr(os, "access", lambda path, mode: path != events)  # root may write anywhere
    with events.open("rb") as old:
        resume(run, small)
        assert old.read() == before
    assert len(events.read_bytes()) > len(before)


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_events_that_are_another_file_too(link, run, small):
    events = run / "tensorboard" / "events.out.tfevents"
    other = run.parent / "thesis.txt"
    other.write_text("is the user's")
    events.unlink()
    link(other, events)
    resume(run, small)
    assert other.read_text() == "is the user's"
    assert events.stat().st_size > 1000


def test_a_save_that_fails_leaves_no_part(run, small):
    _, hard = before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8_000_000, hard))  # enough for the generator
    try:
        with pytest.raises(OSError, match="ckpt-7"):
            resume(run, small)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert checkpoint.newest_whole(run) == str(run / "checkpoints" / "ckpt-6")
    assert not [*run.rglob("ckpt-7*")]


def test_a_pipe_in_a_files_place_is_not_waited_for(run, small):
    events = run / "tensorboard" / "events.out.tfevents"
    events.unlink()
    os.mkfifo(events)
    with pytest.raises(UserError, match="events.out.tfevents is in the way"):
        resume(run, small)


def test_overwrite_begins_anew_where_checkpoints_lie_elsewhere(run, small, capsys):
    (run / "checkpoints").rename(run.parent / "larger disk")
    (run / "checkpoints").symlink_to(run.parent / "larger disk")
    train("lsgan", run.parent, small, "--overwrite", steps=2)
    assert "steps: 2" in capsys.readouterr().out
    assert checkpoint.found(run) == [str(run / "checkpoints" / f"ckpt-{step}") for step in (2, 1)]


@pytest.mark.parametrize("name", ["history.csv", "00500.png", "tensorboard/events.out.tfevents"])
def test_what_may_be_a_run_is_not_written_over(name, tmp_path, small):
    path = tmp_path / "lsgan_mnist" / name
    path.parent.mkdir(parents=True)
    path.write_text("of somebody")
    with pytest.raises(UserError, match=f"a run without a checkpoint left .*{name}"):
        train("lsgan", tmp_path, small)
    assert path.read_text() == "of somebody"


def test_files_of_others_stay(run, small, capsys):
    names = (
        "notes.txt",
        "20251126.png",
        "000001.png",
        "tensorboard/notes.txt",
        "checkpoints/ckpt-best.h5",
        "checkpoints/ckpt-1a/x",
        "checkpoints/ckpt-4.index.bak",
        "checkpoints/ckpt-6.mine/x",
    )
    for name in names:
        (run / name).parent.mkdir(exist_ok=True)
        (run / name).write_text("of others")
    resume(run, small)
    assert "resumed after step 6" in capsys.readouterr().out
    train("lsgan", run.parent, small, "--overwrite", steps=1)
    assert [(run / name).read_text() for name in names] == ["of others"] * len(names)


def test_what_replaces_a_file_is_on_the_disk_before(run, small, monkeypatch):
    """As a power cut leaves what was flushed, and anything of the rest."""
    events = []

    def noting(event, function, name):
        def call(path, *args, **kwargs):
            events.append((event, Path(name(path)).name))
            return function(path, *args, **kwargs)

        return call

    opened = "/proc/self/fd/{}".format
    monkeypatch.setattr(os, "fsync", noting("flush", os.fsync, lambda fd: os.readlink(opened(fd))))
    monkeypatch.setattr(os, "replace", noting("replace", os.replace, str))
    monkeypatch.setattr(Path, "unlink", noting("remove", Path.unlink, str))
    resume(run, small)
    replaced = [name for event, name in events if event == "replace"]
    for name in "lsgan_mnist.h5", "history.csv", "run.json", "00007.png":
        assert any(temporary.endswith(f".{name}") for temporary in replaced)
    for name in replaced:
        assert events.index(("flush", name)) < events.index(("replace", name))
    for part in PARTS:
        removed = events.index(("remove", f"ckpt-4.{part}"))
        assert events.index(("flush", f"ckpt-7.{part}")) < removed
        assert ("flush", "checkpoints") in events[:removed]


def test_two_writers_of_a_file_use_two_temporary_ones(tmp_path):
    path = tmp_path / "picture.png"
    with atomic(path) as second:
        with atomic(path) as first:
            first.write_text("first")
            second.write_text("second")
        assert path.read_text() == "first"
    assert path.read_text() == "second"
    assert list(tmp_path.iterdir()) == [path]
