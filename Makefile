PYTHON ?= python3
FLAGS ?=
GANS = wgan lsgan acgan dcgan cgan wgan-gp infogan

.PHONY: help $(GANS) test bench format
help:
	@echo 'make lsgan (or another of the scripts): train; flags: make lsgan FLAGS="--seed=1"'
	@echo 'make test: lint and run the tests'
	@echo 'make bench: measure the speed (15 minutes)'

$(GANS): .venv/.requirements
	.venv/bin/python $@-mnist.py $(FLAGS)

test: .venv/.requirements-dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/python -m pytest --numprocesses=2 --dist=worksteal

bench: .venv/.requirements-dev
	.venv/bin/python -m benchmarks.speed $(FLAGS)

format: .venv/.requirements-dev
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

.venv/.%: %.txt requirements.txt
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@
