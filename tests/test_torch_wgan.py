"""PyTorch's WGAN and WGAN-GP against the scripts; it is skipped where there is no PyTorch."""

import subprocess
import sys

import numpy as np
import pytest
from helpers import ROOT
from tensorflow import keras

torch = pytest.importorskip("torch")

from benchmarks import torch_compare, torch_wgan
from lib import gan

torch.set_num_threads(1)  # others would wait busily for the cores that other tests use
SMALL = ["--batch-size=2", "--device=cpu"]


@pytest.fixture(scope="module", autouse=True)
def short_rows():
    """A row of the table every 2 steps instead of 50."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch_wgan, "WINDOW", 2)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory, short_rows):
    """Where seeds 1 and 2 took 4 steps."""
    folder = tmp_path_factory.mktemp("torch_wgan")
    train("--steps=4", "--seeds=2", "--checkpoint-every=2", f"--output-dir={folder}")
    return folder


def train(*flags):
    args = torch_wgan.parse_args([*SMALL, *flags])
    torch_wgan.train(torch_wgan.load(args), args)


def start(*flags):
    args = torch_wgan.parse_args([*SMALL, *flags])
    return torch_wgan.Training(1, torch_wgan.load(args), args)


def test_steps_are_the_scripts():
    shares = torch_compare.compare("wgan", steps=4, batch_size=8)
    print(shares)
    assert shares["critic"]["apart"] <= 0.005
    # rounding, as in test_fidelity.py; the symmetric crop of transposed convolutions gave 0.485
    assert shares["generator"]["apart"] <= 0.05


def test_gradient_penalty_is_pytorchs():
    """With Adam's own epsilon of 1e-7 rounding would be magnified to 0.003 of the distance."""
    shares = torch_compare.compare("wgan-gp", steps=4, batch_size=2, epsilon=1e-4)
    print(shares)
    assert max(share["apart"] for share in shares.values()) <= 1e-4


def test_first_weights_are_drawn_as_keras_draws_them():
    run = start()
    ours = torch_wgan.keras_views(run.generator) + torch_wgan.keras_views(run.critic)
    noise, images = keras.Input((100,)), keras.Input((28, 28, 1))
    networks = gan.generator(noise, 28), gan.discriminator(images, activation=None)
    theirs = [weight for network in networks for weight in network.get_weights()]
    for our, their in zip(ours, theirs, strict=True):
        assert our.shape == their.shape
        assert float(our.abs().max()) == pytest.approx(np.abs(their).max(), rel=0.02)
        assert float(our.std(correction=0)) == pytest.approx(their.std(), rel=0.1)


def test_every_seed_has_rows_and_a_verdict(tmp_path, capsys):
    train("--steps=4", "--seeds=2", f"--output-dir={tmp_path}")
    lines = [f"seed {seed}: ended before step 10000" for seed in (1, 2)]
    assert capsys.readouterr().out.splitlines() == [*lines, "0 of 2 lost hold (0%)"]
    table = (tmp_path / "losses.csv").read_text().splitlines()
    assert table[0] == "seed,step,discriminator_loss,adversarial_loss"
    assert [line.split(",")[:2] for line in table[1:]] == [
        list("12"),
        list("22"),
        list("14"),
        list("24"),
    ]


def test_needs_no_tensorflow(tmp_path, without_tensorflow):
    command = [sys.executable, "-m", "benchmarks.torch_wgan", "--steps=0", *SMALL]
    subprocess.run([*command, f"--output-dir={tmp_path}"], check=True, cwd=ROOT)
    assert (tmp_path / "generator_1.npz").exists()


def test_a_run_goes_on_from_its_checkpoint(folder):
    again = folder / "again"
    start_from = f"--start-from={folder}/checkpoint_{{seed}}_00002.pt"
    train(start_from, "--steps=4", "--seeds=2", f"--output-dir={again}")
    for seed in 1, 2:
        paths = [place / f"generator_{seed}.npz" for place in (folder, again)]
        for one, other in zip(*(np.load(path).values() for path in paths), strict=True):
            np.testing.assert_array_equal(one, other)
    rows = [sorted((place / "losses.csv").read_text().split()) for place in (folder, again)]
    assert rows[0] == rows[1]


def test_a_state_may_be_gone_on_from_by_another_seed_at_another_rate(folder):
    run = start(f"--start-from={folder}/checkpoint_2_00002.pt", "--lr=1e-6")
    assert run.step == 2
    before = [view.clone() for view in torch_wgan.keras_views(run.critic)]
    run.advance()
    after = torch_wgan.keras_views(run.critic)
    moved = max(float((a - b).abs().max()) for a, b in zip(after, before, strict=True))
    assert 0 < moved < 5e-5


def test_another_runs_table_is_not_replaced(folder):
    with pytest.raises(FileExistsError):
        train("--steps=2", f"--output-dir={folder}")


def test_keras_draws_the_same_images(folder):
    run = start(f"--start-from={folder}/checkpoint_1_00004.pt")
    generator = gan.generator(keras.Input((100,)), 28)
    generator.set_weights(list(np.load(folder / "generator_1.npz").values()))
    noise = np.random.default_rng(1).uniform(-1, 1, (4, 100)).astype(np.float32)
    with torch.no_grad():
        images = run.draw(torch.from_numpy(noise), training=False)
    expected = generator(noise, training=False)
    np.testing.assert_allclose(images.permute(0, 2, 3, 1), expected, atol=1e-4)


@pytest.mark.parametrize("flag", ["--joint", "--training-mode-fakes", "--precision=bfloat16"])
def test_variants_part_from_the_script(flag):
    runs = start(), start(flag)
    for run in runs:
        for _ in range(3):
            run.advance()
    ours, others = (torch_wgan.keras_views(run.critic) for run in runs)
    assert all(view.isfinite().all() for view in others)
    assert any((a != b).any() for a, b in zip(ours, others, strict=True))
