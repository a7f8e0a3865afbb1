"""The formulas of the scores, against answers that are known."""

from lib.scoring import formulas

import numpy as np
import pytest
import scipy.linalg
from scipy.spatial.distance import cdist

NEIGHBOUR_SCORES = formulas.precision, formulas.coverage, formulas.recall


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def gaussian(rng, mean, covariance, count=500):
    """Draw points whose mean and covariance are exactly as given."""
    x = rng.normal(size=(count, len(mean)))
    x -= x.mean(axis=0)
    x = np.linalg.solve(np.linalg.cholesky(np.cov(x, rowvar=False)), x.T)
    return (np.linalg.cholesky(covariance) @ x).T + mean


def test_frechet_distance_of_gaussians(rng):
    one = gaussian(rng, [0, 0, 0], np.diag([1, 4, 9]))
    other = gaussian(rng, [1, 2, 0], np.diag([1, 1, 16]))
    # |m - m'|^2 + the sum of (s - s')^2 over axes
    assert formulas.frechet_distance(one, other) == pytest.approx(5 + 0 + 1 + 1)
    assert formulas.frechet_distance(other, one) == pytest.approx(5 + 0 + 1 + 1)
    assert formulas.frechet_distance(one, one + [3, 0, 4]) == pytest.approx(25)
    assert formulas.frechet_distance(one, one[::-1]) == pytest.approx(0, abs=1e-10)
    # a single point again and again has no covariance
    assert formulas.frechet_distance(one, np.zeros((9, 3))) == pytest.approx(1 + 4 + 9)
    assert np.isnan(formulas.frechet_distance(one, np.full((9, 3), np.nan)))


def test_frechet_distance_agrees_with_scipy(rng):
    # correlated features, of different covariances that don't commute
    one, other = (
        rng.normal(size=(count, 64)) @ rng.normal(size=(64, 64)) + rng.normal(size=64)
        for count in (300, 400)
    )
    c_one, c_other = np.cov(one, rowvar=False), np.cov(other, rowvar=False)
    expected = np.sum((one.mean(axis=0) - other.mean(axis=0)) ** 2) + np.trace(
        c_one + c_other - 2 * scipy.linalg.sqrtm(c_one @ c_other).real
    )
    assert formulas.frechet_distance(one, other) == pytest.approx(expected, rel=1e-6)


def test_classifier_score(rng):
    assert formulas.classifier_score(np.full((50, 10), 0.1)) == pytest.approx(1)
    assert formulas.classifier_score(np.eye(10)[[7] * 50]) == pytest.approx(1)
    assert formulas.classifier_score(np.eye(10)[[2, 7] * 25]) == pytest.approx(2)
    assert formulas.classifier_score(np.eye(10)) == pytest.approx(10)
    p = rng.dirichlet(np.ones(10), size=100)
    divergence = (p * np.log(p / p.mean(axis=0))).sum(axis=1)
    assert formulas.classifier_score(p) == pytest.approx(np.exp(divergence.mean()))


def test_neighbours_of_equal_and_of_distant_sets(rng):
    x = rng.normal(size=(200, 8))
    assert [score(x, x) for score in NEIGHBOUR_SCORES] == [1, 1, 1]
    assert [score(x, x + 100) for score in NEIGHBOUR_SCORES] == [0, 0, 0]
    assert formulas.unit_length(np.array([[3.0, 4.0]])).tolist() == [[0.6, 0.8]]


def test_coverage_of_equal_distributions(rng):
    real, fake = rng.normal(size=(2, 2000, 8))
    assert formulas.coverage(real, fake, 3) == pytest.approx(1 - 1 / 8, abs=0.03)
    assert formulas.coverage(real, fake) == pytest.approx(1 - 1 / 32, abs=0.02)


def test_fakes_that_are_not_finite_cover_nothing_and_hide_nothing(rng):
    real, fake = rng.normal(size=(2, 200, 8))
    broken = np.concatenate([fake, np.full((200, 8), np.nan)])
    assert formulas.coverage(real, broken) == formulas.coverage(real, fake) > 0.9
    assert formulas.precision(real, broken) == formulas.precision(real, fake) / 2
    assert [score(real, broken[200:]) for score in NEIGHBOUR_SCORES] == [0, 0, 0]


@pytest.mark.parametrize("k", [1, 3, 5])
def test_neighbours_are_counted_as_their_papers_define_it(rng, k):
    # more than one block of rows, the last one not full
    real, fake = rng.normal(size=(1150, 4)), 1.5 * rng.normal(size=(1350, 4))
    # as the package prdc 0.2, of coverage's authors, which gives the same figures as these formulas
    apart = cdist(real, fake)
    balls, fake_balls = (np.sort(cdist(points, points))[:, k] for points in (real, fake))
    expected = {
        "precision": (apart < balls[:, np.newaxis]).any(axis=0).mean(),
        "coverage": (apart < balls[:, np.newaxis]).any(axis=1).mean(),
        "recall": (apart < fake_balls).any(axis=1).mean(),
    }
    assert 0 < expected["coverage"] < expected["recall"] < 1
    for score in NEIGHBOUR_SCORES:
        assert score(real, fake, k) == pytest.approx(expected[score.__name__])


def test_class_shares_and_their_distance():
    uniform = np.full(10, 0.1)
    shares = formulas.class_shares(np.eye(10)[[3, 3, 3, 8]])
    np.testing.assert_array_equal(shares, [0, 0, 0, 0.75, 0, 0, 0, 0, 0.25, 0])
    assert formulas.total_variation(shares, uniform) == pytest.approx(0.8)
    assert formulas.total_variation(shares, shares) == 0
    nothing = formulas.class_shares(np.full((5, 10), np.nan))
    assert formulas.total_variation(nothing, uniform) == 1


def test_accuracy():
    requested = np.repeat(np.arange(10), 4)
    seen = requested.copy()
    seen[:3] = 6  # three of the four zeros
    probabilities = np.eye(10)[seen]
    assert formulas.class_accuracy(probabilities, requested).tolist() == [0.25] + 9 * [1]
    assert formulas.accuracy(probabilities, requested) == 37 / 40
    assert formulas.accuracy(np.full((40, 10), np.nan), requested) == 0


def test_diversity_is_the_mean_distance_of_pairs():
    digits = np.tile(np.arange(10), 3)
    features = np.zeros((30, 2))
    features[digits == 5] = [[0, 0], [3, 4], [6, 8]]  # distances 5, 5 and 10
    expected = np.zeros(10)
    expected[5] = 20 / 3
    np.testing.assert_allclose(formulas.diversity(features, digits), expected)
