import os
import sys
from functools import partial
from pathlib import Path

import pytest

os.environ["MPLBACKEND"] = "agg"
sys.path.insert(0, str(Path(__file__).parents[1]))

from lib import data, evaluation, gan_train  # first: imports TensorFlow quietly


@pytest.fixture(scope="session")
def mnist():
    return data.load()


@pytest.fixture(scope="session", autouse=True)
def few_batches():
    """GAN-train in a second instead of half a minute."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gan_train, "BATCHES", 100)
        yield


@pytest.fixture
def few_images(monkeypatch):
    monkeypatch.setattr(evaluation, "evaluate", partial(evaluation.evaluate, count=1000))
    monkeypatch.setattr(evaluation, "evaluate_real", partial(evaluation.evaluate_real, count=1000))
