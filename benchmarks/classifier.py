"""Train the classifier that MNIST's scores are read from: `python3 -m benchmarks.classifier`.

It takes about five minutes on two cores, and replaces the shipped weights; scores read from other
weights can't be compared.
"""

import argparse

from lib import data, pictures
from lib.plumbing.files import atomic
from lib.scoring import classifier, evaluation, formulas


def main() -> None:
    """Train, and write the weights."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    model = classifier.train(*data.load()[:2])
    images, labels = data.load_test()
    _, probabilities = evaluation.classify(pictures.scaled(images), model)
    accuracy = formulas.accuracy(probabilities, labels.argmax(axis=1))
    print(f"accuracy on the test images: {accuracy:.2%}")
    with atomic(classifier.WEIGHTS) as path:
        model.save_weights(path)
    print(f"wrote {classifier.WEIGHTS}")


if __name__ == "__main__":
    main()
