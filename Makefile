# make wgan (lsgan, acgan, dcgan, cgan)   train; further flags: make wgan FLAGS="--seed=1"
# make test                               lint and tests

PYTHON ?= python3
FLAGS ?=
GANS = wgan lsgan acgan dcgan cgan

.PHONY: $(GANS) test format
$(GANS): .venv/.requirements
	.venv/bin/python $@-mnist.py $(FLAGS)

test: .venv/.requirements-dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/python -m pytest

format: .venv/.requirements-dev
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

.venv/.%: %.txt requirements.txt
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@
