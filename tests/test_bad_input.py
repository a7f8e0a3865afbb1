"""Files that are none, flags and TF_CONFIG that ask for too much: one line, at once."""

import json
import os
import resource
import shutil
import socket
import sys
from contextlib import contextmanager

from lib import cli, data, generator_file, memory

import numpy as np
import pytest
import tensorflow as tf
from helpers import archive, script
from lib.errors import UserError
from lib.flags import OneLineParser, Parser, one_line


def put_pipe(path):
    os.mkfifo(path)


def put_socket(path):
    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(path.parent)  # a socket's path is short
        server.bind(path.name)


def put_device(path):
    path.symlink_to("/dev/zero")


def put_folder(path):
    path.mkdir()


@pytest.mark.parametrize("put", [put_pipe, put_socket, put_device, put_folder])
@pytest.mark.parametrize("flag, name", [("--generator", "odd.h5"), ("--data", "odd.npz")])
def test_what_is_no_file_is_refused_not_waited_for(put, flag, name, refusal, tmp_path):
    put(tmp_path / name)
    assert f"{name} is no " in refusal("wgan", f"{flag}={name}")


@pytest.mark.parametrize("flag, suffix", [("--generator", ".h5"), ("--data", ".npz")])
def test_names(flag, suffix, refusal, tmp_path):
    (tmp_path / "text.txt").write_text("text")
    assert f"text.txt is no {suffix} file" in refusal("wgan", f"{flag}=text.txt")
    assert "there is no file" in refusal("wgan", f"{flag}=missing{suffix}")
    assert f"two\\nlines{suffix}" in refusal("wgan", f"{flag}=two\nlines{suffix}")
    assert "File name too long" in refusal("wgan", f"{flag}={'long' * 99}{suffix}")


@pytest.mark.parametrize("flag", ["--data=\udcff.npz", "-g=\udcff.h5", "--output-dir=\udcff"])
def test_names_that_are_not_utf8(flag, refusal):
    assert "isn't UTF-8: rename it" in refusal("wgan", flag)


@pytest.mark.parametrize("name", ["runs [new]", "runs\\new"])
@pytest.mark.parametrize("flags", [[], ["--resume"]])
def test_a_folder_that_tensorflow_takes_for_a_pattern(name, flags, refusal):
    assert "can't read checkpoints in runs" in refusal("lsgan", f"--output-dir={name}", *flags)


@pytest.mark.parametrize("flag", ["--batch-size", "--distribute", "--generator"])
def test_two_dashes_are_no_value(flag, refusal):
    assert f"{flag}: -- is no value" in refusal("lsgan", f"{flag}=--")


def test_a_current_folder_that_is_gone(refusal, tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert "there is no current folder" in refusal("wgan", "--data=own.npz")


# files that can't be written


@contextmanager
def file_size_limit(size):
    """As on a disk that gets full: no file of this process may grow beyond it."""
    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))


def test_a_picture_that_does_not_fit_is_named(plain, refusal, tmp_path):
    (tmp_path / "test_outputs").mkdir()
    shutil.copy(plain, tmp_path / "plain.h5")
    with file_size_limit(20_000):
        error = refusal("wgan", "--generator=plain.h5", "--count=900", "--seed=1")
    assert "test_outputs/plain_900_seed1.png: File too large" in error


@pytest.mark.parametrize("size", [0, 4096, 28_672, 200_000])
def test_a_generator_that_does_not_fit_is_named(size, plain, tmp_path):
    generator = generator_file.load(plain, conditional=False)
    with file_size_limit(size), pytest.raises(OSError) as raised:
        generator_file.save(generator, tmp_path / "full.h5")
    assert raised.value.filename == str(tmp_path / "full.h5")
    assert list(tmp_path.iterdir()) == []


# flags


@pytest.mark.parametrize("value", [10**20, "9" * 5000])
@pytest.mark.parametrize(
    "flag",
    [
        "--train-steps",
        "--batch-size",
        "--latent-size",
        "--n-critic",
        "--seed",
        "--save-interval",
        "--log-interval",
        "--evaluate-interval",
        "--count",
        "--digit",
        "--distribute=cpu",
    ],
)
def test_huge_numbers(flag, value, refusal):
    given = f"{flag}:{value}" if flag.endswith("cpu") else f"{flag}={value}"
    assert str(value) in refusal("wgan", given)


@pytest.mark.parametrize("flag", ["--lr", "--clip-value"])
@pytest.mark.parametrize("value", ["1e39", "1e999", "-1e-9", "nan"])
def test_numbers_that_float32_does_not_hold(flag, value, refusal):
    assert f"'{value}' is no number from 0 to 3.40282e+38" in refusal("wgan", f"{flag}={value}")


def test_n_critic_is_bounded(refusal):
    assert "'101' is no whole number from 1 to 100" in refusal("wgan", "--n-critic=101")


# memory


@pytest.mark.parametrize(
    "name, flag, message",
    [
        ("wgan", "--batch-size=1000000", "training with --batch-size=1000000 and --n-critic=5"),
        ("acgan", "--batch-size=2147483647", "training with --batch-size=2147483647 takes"),
        ("cgan", "--latent-size=1000000", "a generator from 1,000,010 inputs to images of side 28"),
        ("lsgan", "--latent-size=2147483647", "a generator from 2,147,483,647 inputs"),
    ],
)
def test_what_memory_cannot_hold_is_refused(name, flag, message, refusal):
    error = refusal(name, flag)
    assert message in error
    assert "GB of memory, and 16.0 GB are free: choose" in error


def test_more_images_than_memory_holds_are_refused(tmp_path, monkeypatch):
    archive(tmp_path / "own.npz")
    monkeypatch.setattr(memory, "available", lambda: 2.9 * 6 * 4 * 4)
    with pytest.raises(UserError, match=r"x_train in .*own.npz takes about 0.0 GB"):
        data.load(tmp_path / "own.npz", labels=False)


# MB at the peak of two steps, beside the program's own; two cores, TensorFlow 2.21
@pytest.mark.parametrize(
    "name, side, flags, measured",
    [
        ("wgan", 28, ["--batch-size=512"], 1231),
        ("wgan", 28, ["--batch-size=512", "--n-critic=1"], 872),
        ("wgan", 28, ["--batch-size=512", "--n-critic=20"], 2929),
        ("acgan", 28, ["--batch-size=512"], 770),
        ("cgan", 28, ["--batch-size=512"], 901),
        ("acgan", 128, ["--batch-size=4"], 529),
    ],
)
def test_estimate_of_training(name, side, flags, measured):
    module = script(name)
    params = module.parser.parse_args(flags)
    dataset = data.Dataset(np.zeros((10, side, side, 1), "u1"), np.eye(10, dtype="f4"))
    generator, discriminator, _ = module.build_models(params, dataset)
    n_critic = getattr(params, "n_critic", 1)
    estimate = memory.of_training(generator, discriminator, params.batch_size, n_critic)
    assert 0.95 * measured < estimate / 1e6 < 1.5 * measured


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--count=10000000"], "--count=10,000,000 takes about 1"),
        (["--count=100000000", "--npz=new.npz"], "--count=100,000,000 takes about 2"),
        (["--count=2147483647"], "--count=2,147,483,647 takes about 2"),
    ],
)
def test_more_samples_than_memory_holds_are_refused(flags, message, plain, refusal, tmp_path):
    shutil.copy(plain, tmp_path / "plain.h5")
    assert message in refusal("wgan", "--generator=plain.h5", *flags)


@pytest.mark.parametrize(
    "flags, advice",
    [
        (["--evaluate-interval=9"], "choose an --evaluate-interval beyond --train-steps"),
        (["--generator=pretrained/lsgan_mnist.h5", "--evaluate"], "score elsewhere"),
    ],
)
def test_scores_that_memory_cannot_hold_are_refused(flags, advice, refusal, monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 1.3e9)
    error = refusal("lsgan", *flags)
    assert "scoring 10,000 images takes about 1.4 GB" in error
    assert advice in error


@pytest.mark.parametrize("library", [tf, np])
def test_memory_that_runs_out_all_the_same(library, capsys):
    parser = Parser("", model_name="wgan_mnist")
    with pytest.raises(SystemExit, match="2"), cli.one_line_errors(parser):
        library.ones((2**22, 2**22))
    assert capsys.readouterr().err.count("memory ran out: choose a smaller --batch-size") == 1


def test_a_closed_output_is_none_of_a_benchmark_either(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    with cli.one_line_errors(OneLineParser("")):
        print("to nobody")


def test_available_memory(tmp_path, monkeypatch):
    everything = memory.available()
    assert 0 < everything < float("inf")
    own = tmp_path / "own"
    monkeypatch.setattr(memory, "OWN_GROUPS", own)
    monkeypatch.setattr(memory, "CONTROL_GROUPS", tmp_path)
    own.write_text("5:cpu,memory:/outside of\rthe container\n0::/job/step\n")
    (tmp_path / "job" / "step").mkdir(parents=True)
    (tmp_path / "memory").mkdir()
    limits = [
        (tmp_path / "job" / "step", "memory.max", "anon", 500_000),
        (tmp_path / "job", "memory.max", "anon", 300_000),
        (tmp_path / "memory", "memory.limit_in_bytes", "total_rss", 200_000),
    ]
    for folder, limit, usage, most in limits:
        (folder / limit).write_text(f"{most}\n")
        (folder / "memory.stat").write_text(f"{usage} 100000\nfile 50000\n")
        assert memory.available() == most - 100_000
    for folder, limit, *_ in limits:
        (folder / limit).write_text("max\n")
    assert memory.available() > 500_000
    own.unlink()
    assert memory.available() > 500_000


@pytest.mark.parametrize(
    "limit, name", [(resource.RLIMIT_AS, "VmSize"), (resource.RLIMIT_DATA, "VmData")]
)
def test_available_memory_under_a_limit(limit, name):
    before, most = resource.getrlimit(limit)
    own = 1024 * memory.table("/proc/self/status")[name] + 10**8
    resource.setrlimit(limit, (own, most))
    try:
        assert 0 < memory.available() <= 10**8
    finally:
        resource.setrlimit(limit, (before, most))


# TF_CONFIG and messages


def config(*places, **task):
    task = {"type": "worker", "index": 0} | task
    return json.dumps({"cluster": {"worker": places or ["localhost:2222"]}, "task": task})


@pytest.mark.parametrize(
    "text, message",
    [
        ("[" * 100_000, "TF_CONFIG must name a cluster"),
        (config("::1:2222"), "TF_CONFIG must name a cluster"),  # no brackets
        (config("one:1", "one:1"), "TF_CONFIG must name a cluster"),
        ('{"cluster":' * 20_000, "TF_CONFIG must name a cluster"),
        (config("localhost:2222", "two..dots:2222"), "TF_CONFIG must name a cluster"),
        (config("localhost:2222", "a\0b:2222"), "TF_CONFIG must name a cluster"),
        (config(index=10**20), "TF_CONFIG must name a cluster"),
        (config(f"localhost:{'9' * 5000}"), "TF_CONFIG must name a cluster"),
        (config("[localhost]:2222"), "TF_CONFIG must name a cluster"),
        (config("[]:2222"), "TF_CONFIG must name a cluster"),
        (config().replace('{"worker"', '{"chief": [], "worker"'), "TF_CONFIG must name a cluster"),
        (config().replace('["localhost:2222"]', '{"one:1": 1}'), "TF_CONFIG must name a cluster"),
        (config("nobody.invalid:2222"), "nobody.invalid:2222, where it can't be reached"),
        (config("255.255.255.255:2222"), "255.255.255.255:2222, where it can't be reached"),
        (config(f"{'a' * 64}:2222"), "TF_CONFIG must name a cluster"),
    ],
)
def test_bad_cluster_is_one_line(text, message, refusal, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", text)
    assert message in refusal("wgan")


@pytest.mark.parametrize(
    "text, line",
    [
        ("plain text, with 'quotes' and ümlauts", "plain text, with 'quotes' and ümlauts"),
        ("two\nlines\r\n", "two\\nlines\\r\\n"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("no UTF-8: \udcff", "no UTF-8: \\udcff"),
        ("{{function_node __wrapped__SaveV2_device_/job:CPU:0}} no room [Op:SaveV2]", "no room"),
    ],
)
def test_one_line(text, line):
    assert one_line(text) == line
