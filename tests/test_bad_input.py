"""What a person gets wrong: one line that says what to do, status 2, nothing written."""

import json
import os
import resource
import shutil

import numpy as np
import pytest
import tensorflow as tf

ACGAN = "--generator=pretrained/acgan_mnist.h5"
LSGAN = "--generator=pretrained/lsgan_mnist.h5"


@pytest.mark.parametrize(
    "name, flags, words",
    [
        ("wgan", ["--lr=x"], "--lr: give a number from 0, not 'x'"),
        ("wgan", ["--lr=1e39"], "give a number from 0"),
        ("wgan", ["--clip-value=-1"], "give a number from 0"),
        ("wgan", ["--clip-value=nan"], "give a number from 0"),
        ("wgan", ["--n-critic=101"], "give a whole number from 1 to 100, not '101'"),
        ("wgan", ["--batch-size=0"], "give a whole number from 1 to 4096"),
        ("wgan", ["--batch-size=100000"], "give a whole number from 1 to 4096"),
        ("wgan", ["--latent-size=1e3"], "give a whole number from 1 to 10000"),
        ("wgan", ["--train-steps=" + "9" * 5000], "give a whole number"),
        ("wgan", ["--seed=-1"], "give a whole number from 0 to 4294967295"),
        ("wgan", ["--distribute=tpu"], "give gpu or cpu:N, with N from 1 to 99, not 'tpu'"),
        ("wgan", ["--distribute"], "--distribute finds no GPU"),
        ("wgan", ["--model-name=a/b"], "give a name"),
        ("wgan", ["--plot-model=networks.jpg"], "give the name of a .png file"),
        ("wgan", ["--plot-model=own.png"], "own.png exists: remove it"),
        ("wgan", ["--lear=1"], "unrecognized arguments: --lear=1"),
        ("wgan", ["--trainsteps=3"], "did you mean --train-steps?"),
        ("wgan", ["stray"], "unrecognized arguments: stray"),
        ("wgan", ["--resume", "--overwrite"], "not allowed with argument --resume"),
        ("wgan", ["--resume"], "there is no run in wgan_mnist: leave out --resume"),
        (
            "wgan",
            ["--count=3"],
            "--count draws with a trained generator: add --generator=pretrained/wgan_mnist.h5",
        ),
        ("acgan", ["--digit=3"], "add --generator=pretrained/acgan_mnist.h5"),
        ("infogan", ["--category=3"], "--category draws with a trained generator"),
        ("wgan", ["--digit=3"], "--digit goes with acgan-mnist.py and cgan-mnist.py"),
        ("wgan", [LSGAN, "--digit=3"], "--digit goes with acgan-mnist.py and cgan-mnist.py"),
        ("wgan", [LSGAN, "--lr=1"], "--lr goes with training: leave it out"),
        ("wgan", [LSGAN, "--resume"], "--resume goes with training"),
        ("wgan", [LSGAN, "--precision=mixed_bfloat16"], "--precision goes with training"),
        ("wgan", [LSGAN, "--seconds=3"], "--seconds goes with --interpolate"),
        ("wgan", [LSGAN, "--evaluate", "--count=3"], "--count doesn't go with --evaluate"),
        ("wgan", [LSGAN, "--evaluate", "--explore"], "not allowed with argument"),
        ("wgan", [LSGAN, "--npz=drawn.png"], "give the name of an .npz file"),
        ("wgan", [LSGAN, "--count=1000000"], "give a whole number from 1 to 100000"),
        ("wgan", ["--generator"], "expected one argument"),
        ("wgan", ["--generator=missing.h5"], "there is no file missing.h5: give one that holds"),
        ("wgan", ["--generator=two\nlines.h5"], "there is no file two\\nlines.h5"),
        ("wgan", ["--generator=text.txt"], "text.txt is no .h5 or .keras file"),
        ("wgan", ["--generator=folder.h5"], "folder.h5 is no file"),
        ("wgan", ["--generator=pipe.h5"], "pipe.h5 is no file"),
        ("wgan", ["--generator=empty.h5"], "empty.h5 doesn't hold a generator"),
        ("wgan", [ACGAN], "draws a class of choice: sample from it with acgan-mnist.py"),
        ("acgan", [LSGAN], "draws from noise alone: sample from it with wgan-mnist.py"),
        ("acgan", [ACGAN, "--digit=10"], "choose from 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"),
        ("acgan", [ACGAN, "--digit=-1"], "digit -1 is unknown here"),
        ("infogan", [ACGAN], "sample from it with acgan-mnist.py"),
        ("infogan", [ACGAN, "--category=1", "--explore"], "--category doesn't go with --explore"),
        ("wgan", ["--data=missing.npz"], "missing.npz: give a folder of pictures, a .zip"),
        ("wgan", ["--data=text.txt"], "text.txt is no .npz or .zip or -ubyte"),
        ("wgan", ["--data=folder.npz"], "folder.npz holds no pictures"),
        ("wgan", ["--data=empty.npz"], "empty.npz doesn't hold images"),
        ("wgan", ["--data=floats.npz"], "give np.interp(x_train, (0, 255), (0, 1))"),
        ("acgan", ["--data=images.npz"], "has no y_train, but x_train"),
        ("wgan", ["--data=images.npz", "--evaluate-interval=1"], "all scores, labels y_train"),
        ("wgan", ["--output-dir=runs [new]"], "for the [: rename it"),
        ("wgan", ["--output-dir=text.txt"], "text.txt"),
    ],
)
def test_one_line(name, flags, words, refusal, tmp_path):
    for file in "text.txt", "own.png":
        (tmp_path / file).write_text("text")
    for suffix in "h5", "npz":
        (tmp_path / f"folder.{suffix}").mkdir()
        (tmp_path / f"empty.{suffix}").touch()
    os.mkfifo(tmp_path / "pipe.h5")
    images = np.linspace(0, 200, 256).reshape(4, 8, 8)
    np.savez(tmp_path / "floats.npz", x_train=images)
    np.savez(tmp_path / "images.npz", x_train=images.astype(np.uint8))
    assert words in refusal(name, *flags)


def config(workers, kind, index):
    return json.dumps({"cluster": {"worker": workers}, "task": {"type": kind, "index": index}})


@pytest.mark.parametrize(
    "text, flags, words",
    [
        ("no JSON", [], "TF_CONFIG must name a cluster"),
        (config([], "worker", 0), [], "TF_CONFIG must name a cluster"),
        (config(["a:1"], "worker", 10**20), [], "TF_CONFIG must name a cluster"),
        (config(["a:1"], "chief", 0), [], "TF_CONFIG must name a cluster"),
        (config(["a:1"], "worker", 0), ["--distribute=cpu:2"], "for one machine"),
        ("", ["--distribute=cpu:2"], "needs a fresh Python"),
    ],
)
def test_what_cannot_be_distributed(text, flags, words, refusal, monkeypatch):
    tf.config.list_logical_devices()  # from here on their number is settled
    monkeypatch.setenv("TF_CONFIG", text)
    assert words in refusal("wgan", *flags)


def test_a_picture_that_does_not_fit_is_named(plain, refusal, tmp_path):
    (tmp_path / "test_outputs").mkdir()
    shutil.copy(plain, tmp_path / "plain.h5")
    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, most))  # as on a disk that gets full
    try:
        error = refusal("wgan", "--generator=plain.h5", "--count=900", "--seed=1")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))
    assert "test_outputs/plain_900_seed1.png: File too large" in error
