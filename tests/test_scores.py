"""The scores, against answers that are known."""

import json

from lib import data, evaluation, gan, scores

import numpy as np
import pytest
import scipy.linalg
from lib.errors import UserError
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import cdist
from tensorflow import keras
from tensorflow.keras import layers


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def real():
    return evaluation.evaluate_real(seed=1, count=1000)


def gaussian(rng, mean, covariance, count=500):
    """Points of which mean and covariance are exactly as given."""
    x = rng.normal(size=(count, len(mean)))
    x -= x.mean(axis=0)
    x = np.linalg.solve(np.linalg.cholesky(np.cov(x, rowvar=False)), x.T)
    return (np.linalg.cholesky(covariance) @ x).T + mean


def test_frechet_distance_of_gaussians(rng):
    one = gaussian(rng, [0, 0, 0], np.diag([1, 4, 9]))
    other = gaussian(rng, [1, 2, 0], np.diag([1, 1, 16]))
    # |m - m'|^2 + the sum of (s - s')^2 over axes
    assert scores.frechet_distance(one, other) == pytest.approx(5 + 0 + 1 + 1)
    assert scores.frechet_distance(other, one) == pytest.approx(5 + 0 + 1 + 1)
    assert scores.frechet_distance(one, one + [3, 0, 4]) == pytest.approx(25)
    assert scores.frechet_distance(one, one[::-1]) == pytest.approx(0, abs=1e-10)


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
    assert scores.frechet_distance(one, other) == pytest.approx(expected, rel=1e-6)


def test_frechet_distance_of_degenerate_features(rng):
    one = gaussian(rng, [0, 0], np.diag([1, 4]))
    assert scores.frechet_distance(one, np.full((9, 2), 3.0)) == pytest.approx(18 + 5)
    assert np.isnan(scores.frechet_distance(one, np.full((9, 2), np.nan)))


def test_mnist_score_lies_between_1_and_10():
    assert scores.mnist_score(np.full((50, 10), 0.1)) == pytest.approx(1)
    assert scores.mnist_score(np.eye(10)[[7] * 50]) == pytest.approx(1)
    assert scores.mnist_score(np.eye(10)[[2, 7] * 25]) == pytest.approx(2)
    assert scores.mnist_score(np.eye(10)) == pytest.approx(10)


def test_mnist_score_is_the_mean_divergence(rng):
    p = rng.dirichlet(np.ones(10), size=100)
    divergence = (p * np.log(p / p.mean(axis=0))).sum(axis=1)
    assert scores.mnist_score(p) == pytest.approx(np.exp(divergence.mean()))


NEIGHBOUR_SCORES = scores.precision, scores.coverage, scores.recall


def test_neighbours_of_equal_and_of_distant_sets(rng):
    x = rng.normal(size=(200, 8))
    assert [score(x, x) for score in NEIGHBOUR_SCORES] == [1, 1, 1]
    assert [score(x, x + 100) for score in NEIGHBOUR_SCORES] == [0, 0, 0]


def test_dropped_modes_lower_coverage_and_recall_alone(rng):
    modes = 50 * rng.normal(size=(10, 8))
    real = modes[np.arange(1000) % 10] + rng.normal(size=(1000, 8))
    fake = modes[np.arange(1000) % 3] + rng.normal(size=(1000, 8))
    assert scores.precision(real, fake) > 0.8
    assert 0.2 < scores.coverage(real, fake) <= 0.3
    assert 0.2 < scores.recall(real, fake) <= 0.3


def test_noise_lowers_precision_and_coverage(rng):
    real, fake = rng.normal(size=(2, 500, 8))
    noisy = fake + 3 * rng.normal(size=fake.shape)
    assert scores.precision(real, fake) > 0.7
    assert scores.precision(real, noisy) < 0.3
    assert scores.coverage(real, fake) > 0.9
    assert scores.coverage(real, noisy) < 0.6
    # what coverage is for: fakes far off have balls that hold all that is real
    assert scores.recall(real, noisy) > 0.9


def test_coverage_of_equal_distributions(rng):
    real, fake = rng.normal(size=(2, 2000, 8))
    assert scores.coverage(real, fake, 3) == pytest.approx(1 - 1 / 8, abs=0.03)
    assert scores.coverage(real, fake) == pytest.approx(1 - 1 / 32, abs=0.02)


def test_fakes_not_finite_cover_nothing_and_hide_nothing(rng):
    real, fake = rng.normal(size=(2, 200, 8))
    broken = np.concatenate([fake, np.full((200, 8), np.nan)])
    assert scores.coverage(real, broken) == scores.coverage(real, fake) > 0.9
    assert scores.precision(real, broken) == scores.precision(real, fake) / 2
    assert [score(real, broken[200:]) for score in NEIGHBOUR_SCORES] == [0, 0, 0]


@pytest.mark.parametrize("k", [1, 3, 5])
def test_neighbours_are_counted_as_their_papers_define_it(rng, k):
    # more than one block of rows, the last one not full
    real, fake = rng.normal(size=(1150, 4)), 1.5 * rng.normal(size=(1350, 4))
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


def test_unit_length():
    features = np.array([[3.0, 4.0], [0.0, -2.0]])
    np.testing.assert_allclose(scores.unit_length(features), [[0.6, 0.8], [0, -1]])


@pytest.mark.parametrize("draw", ["grey", "white", "mean", "blurred"])
def test_images_without_digits_are_not_precise(draw):
    # as many as wide balls need to take them in: of 1,000 test images none holds them
    x_test = data.load_test()[0][::4] / np.float32(255)
    images = {
        "grey": np.full_like(x_test, 0.5),
        "white": np.ones_like(x_test),
        "mean": np.broadcast_to(x_test.mean(axis=0), x_test.shape),
        "blurred": gaussian_filter(x_test, (0, 3, 3, 0)),
    }
    real, _ = evaluation.test_set()
    fake, _ = evaluation.classify(images[draw])
    found = evaluation.neighbour_scores(real[::4], fake)
    assert found["precision"] < 0.02
    assert found["coverage"] < 0.02


def test_digit_shares_and_their_distance():
    uniform = np.full(10, 0.1)
    shares = scores.digit_shares(np.eye(10)[[3, 3, 3, 8]])
    np.testing.assert_array_equal(shares, [0, 0, 0, 0.75, 0, 0, 0, 0, 0.25, 0])
    assert scores.total_variation(shares, uniform) == pytest.approx(0.8)
    assert scores.total_variation(shares, shares) == 0
    collapsed = scores.digit_shares(np.eye(10)[[4] * 30])
    assert scores.total_variation(collapsed, uniform) == pytest.approx(0.9)
    nothing = scores.digit_shares(np.full((5, 10), np.nan))
    assert scores.total_variation(nothing, uniform) == 1


def test_digit_accuracy():
    requested = np.repeat(np.arange(10), 4)
    seen = requested.copy()
    seen[:3] = 6  # three of the four zeros
    expected = [0.25] + 9 * [1]
    np.testing.assert_array_equal(scores.digit_accuracy(np.eye(10)[seen], requested), expected)
    assert scores.accuracy(np.eye(10)[seen], requested) == 37 / 40
    assert scores.accuracy(np.full((40, 10), np.nan), requested) == 0


def test_diversity_is_the_mean_distance_of_pairs():
    digits = np.tile(np.arange(10), 3)
    features = np.zeros((30, 2))
    features[digits == 5] = [[0, 0], [3, 4], [6, 8]]  # distances 5, 5 and 10
    expected = np.zeros(10)
    expected[5] = 20 / 3
    np.testing.assert_allclose(scores.diversity(features, digits), expected)


def test_real_images_score_best(real):
    assert real["count"] == 1000
    assert real["frechet_distance"] < 10
    assert real["mnist_score"] > 9.5
    assert real["precision"] > 0.75
    assert real["coverage"] > 0.9
    assert real["recall"] > 0.8
    assert real["total_variation"] < 0.06
    assert real["accuracy"] > 0.99
    assert min(real["digit_accuracy"]) > 0.95
    assert real["gan_train"] > 0.9
    assert real["diversity"] == pytest.approx(1, abs=0.05)
    assert sum(real["digit_shares"]) == pytest.approx(1)
    assert json.loads(json.dumps(real)) == real


def test_scores_repeat_with_the_seed(real):
    assert evaluation.evaluate_real(seed=1, count=1000) == real
    assert evaluation.evaluate_real(seed=2, count=1000) != real
    generator = gan.generator(keras.Input((100,)), 28)
    first = evaluation.evaluate(generator, seed=1, count=1000)
    assert evaluation.evaluate(generator, seed=1, count=1000) == first
    assert evaluation.evaluate(generator, seed=2, count=1000) != first


def test_generator_is_scored_in_inference_mode_and_left_as_it_is():
    generator = gan.generator(keras.Input((100,)), 28)
    before = generator.get_weights()  # moving averages among them
    result = evaluation.evaluate(generator, seed=1, count=2500)
    for one, other in zip(before, generator.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    # grey images, in which the classifier sees hardly more than one digit
    assert result["frechet_distance"] > 100
    assert result["precision"] == result["recall"] == 0
    assert result["coverage"] < 0.01
    assert result["mnist_score"] < 1.5
    assert not {"accuracy", "gan_train", "diversity"} & set(result)


@pytest.fixture(scope="module")
def one_image_a_digit():
    """A generator that draws the digit which is requested, always the same training image."""
    x_train, y_train = data.load()
    rows = [np.flatnonzero(y_train[:, digit])[0] for digit in range(10)]
    noise, labels = keras.Input((100,)), keras.Input((10,))
    images = layers.Dense(784, use_bias=False)
    x = layers.Reshape((28, 28, 1))(images(labels))
    images.set_weights([x_train[rows].reshape(10, 784) / np.float32(255)])
    return keras.Model([noise, labels], x)


def test_digits_of_the_test_images_are_requested(one_image_a_digit):
    result = evaluation.evaluate(one_image_a_digit, seed=1, count=1000, quick=True)
    digits = data.load_test()[1][::10].argmax(axis=1)
    np.testing.assert_allclose(result["digit_shares"], np.bincount(digits) / 1000)
    assert result["total_variation"] == pytest.approx(0)
    assert "gan_train" not in result


def test_requested_digits_without_diversity(one_image_a_digit, real):
    result = evaluation.evaluate(one_image_a_digit, seed=1, count=1000)
    assert result["digit_accuracy"] == [1] * 10
    assert result["accuracy"] == 1
    assert result["mnist_score"] > 9.5
    assert result["diversity"] == pytest.approx(0, abs=1e-4)
    assert result["digit_diversity"] == pytest.approx([0] * 10, abs=1e-4)
    assert max(result["coverage"], result["recall"]) < 0.1
    assert 0.3 < result["gan_train"] < real["gan_train"] - 0.1


def test_collapsed_generator():
    noise = keras.Input((100,))
    generator = keras.Model(noise, layers.Reshape((28, 28, 1))(layers.Dense(784)(noise)))
    generator.set_weights([np.zeros((100, 784)), data.load_test()[0][0].ravel() / 255])
    result = evaluation.evaluate(generator, seed=1, count=1000)
    assert max(result["digit_shares"]) == 1
    assert result["digit_shares"][7] == 1  # the first test image
    assert result["total_variation"] == pytest.approx(0.9, abs=0.03)
    assert result["mnist_score"] == pytest.approx(1)
    assert max(result["coverage"], result["recall"]) < 0.01


def test_generator_gone_wrong():
    generator = gan.generator(keras.Input((100,)), 28, labels=keras.Input((10,)))
    generator.set_weights([np.full_like(weight, np.nan) for weight in generator.get_weights()])
    result = evaluation.evaluate(generator, seed=1, count=1000)
    assert np.isnan([result[key] for key in ("frechet_distance", "mnist_score")]).all()
    assert np.isnan(result["diversity"])
    assert result["precision"] == result["coverage"] == result["recall"] == 0
    assert result["accuracy"] == 0
    assert result["gan_train"] < 0.2  # chance
    assert result["total_variation"] == 1
    assert "nan" in evaluation.table({"broken": result})


@pytest.mark.parametrize(
    "generator",
    [
        lambda: gan.generator(keras.Input((100,)), 32),
        lambda: gan.generator(keras.Input((100,)), 28, labels=keras.Input((7,))),
        lambda: gan.generator(
            keras.Input((100,)),
            28,
            labels=keras.Input((10,)),
            codes=[keras.Input((1,)), keras.Input((1,))],
        ),
    ],
)
def test_what_the_classifier_does_not_know_is_refused(generator):
    with pytest.raises(UserError, match="MNIST"):
        evaluation.evaluate(generator(), seed=1, count=1000)


@pytest.mark.parametrize("count", [999, 10_001])
def test_counts_without_a_reference_are_refused(count):
    with pytest.raises(UserError, match=str(count)):
        evaluation.evaluate_real(seed=1, count=count)
    with pytest.raises(UserError, match=str(count)):
        evaluation.evaluate(gan.generator(keras.Input((100,)), 28), seed=1, count=count)


def test_table(real):
    unconditional = {
        key: value
        for key, value in real.items()
        if not key.endswith(("accuracy", "diversity", "gan_train"))
    }
    rows = {"lsgan_mnist.h5": unconditional, "training images": real}
    text = evaluation.table(rows)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["1000", "images", "lsgan_mnist.h5", "training", "images", "±"]
    printed = {name: cells for name, *cells in map(str.split, lines[1:10])}
    # coverage ahead of recall
    assert list(printed)[2:5] == ["precision", "coverage", "recall"]
    keys = [key for key, _ in evaluation.COLUMNS.values()]
    for (fake, best, spread), key in zip(printed.values(), keys, strict=True):
        assert float(best) == pytest.approx(real[key], abs=0.006)
        assert fake == (best if key in unconditional else "-")
        assert float(spread) == evaluation.SPREAD[key]
    assert f"{real['digit_accuracy'][9]:.3f}" in text
    assert "not the FID" in text
