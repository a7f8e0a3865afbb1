"""The pages' code, commands, figures and links, as a reader would use them."""

import csv
import json
import re
import shlex
from functools import cache
from statistics import mean, stdev

from lib.scoring.table import COLUMNS

import pytest
from helpers import ALL_SCRIPTS, ROOT, blocks, script

README, CHINESE = ((ROOT / name).read_text() for name in ("README.md", "README.zh-CN.md"))
PRETRAINED = (ROOT / "pretrained" / "README.md").read_text()
PAGES = [
    page
    for folder in (".", "docs", "lib", "benchmarks", "pretrained")
    for page in ROOT.glob(f"{folder}/*.md")
]
DIGITS_FROM = 45  # the FD from which on most digits can be read


def commands(text):
    """Return a page's commands: its indented lines, and what tables and texts have in backquotes."""
    found = re.findall(r"^ {4}((?:python3|make|pip|\.|git|cp) .*)$", text, re.MULTILINE)
    found += re.findall(
        r"`((?:python3|make) [^`]*)`", re.sub(r"```.*?```|\n", " ", text, flags=re.DOTALL)
    )
    return [re.sub(r" +#( .*|$)|\[--\S+\]|\[\.\.\.\]", "", line).strip() for line in found]


@cache
def parser(name):
    """Return a script's parser; an exercise's copy has that of the script it begins with."""
    known = [known for known in ALL_SCRIPTS if name == known or name.startswith(f"{known}-")]
    return script(max(known, key=len) if known else "lsgan").parser


MAKEFILE = (ROOT / "Makefile").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_parse(page):
    for command in commands(page.read_text()):
        program, *words = shlex.split(command)
        if program == "make":
            target, *flags = words
            assert re.search(rf"^{target}:|^GANS = .*\b{target}\b", MAKEFILE, re.MULTILINE), command
            words = [f"{target}-mnist.py", *shlex.split("".join(flags).removeprefix("FLAGS="))]
        if words[0] == "-m" and words[1].startswith("benchmarks."):
            source = (ROOT / f"{words[1].replace('.', '/')}.py").read_text()
            for flag in re.findall(r"--[a-z][a-z-]*", command):
                assert f'"{flag}"' in source, command
        elif words[0].endswith("-mnist.py") and program != "cp":
            parser(words[0].removesuffix("-mnist.py")).parse_args(words[1:])  # exits if it can't


def test_the_step_shown_is_the_scripts():
    (shown,) = blocks("python", README)
    text = (ROOT / "wgan-mnist.py").read_text()
    function = text[text.index("def gan_step") : text.index("\n    metrics = ")]

    def code(text):
        lines = [re.sub(r"  # .*", "", line).strip() for line in text.splitlines()]
        return [line for line in lines if line and not line.startswith(("#", '"""'))]

    assert code(shown) == code(function)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        path, _, anchor = target.partition("#")
        if ":" in path:
            continue
        there = (page.parent / path) if path else page
        assert there.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", there.read_text(), re.MULTILINE)
            slugs = [re.sub(r"[^\w\- ]", "", text).lower().replace(" ", "-") for text in headings]
            assert anchor in slugs, target


def test_pictures_say_what_they_show():
    for page in PAGES:
        assert "![](" not in page.read_text(), page


def test_both_languages_say_the_same():
    def links(text):
        return sorted({*re.findall(r"\]\(([^)]+)\)", text)} - {"README.md", "README.zh-CN.md"})

    def figures(text):
        """Return the numbers of each table's row, but for those in pictures, links and code."""
        rows = re.findall(r"^\|.*\|$", text, re.MULTILINE)
        rows = [re.sub(r"!\[[^]]*\]|\]\([^)]+\)|`[^`]*`", "", row) for row in rows]
        return [sorted(re.findall(r"\d+(?:[.,]\d+)*", row)) for row in rows]

    assert commands(README) == commands(CHINESE) != []
    assert links(README) == links(CHINESE)
    assert figures(README) == figures(CHINESE)
    assert "(README.zh-CN.md)" in README
    assert "(README.md)" in CHINESE


def facts(name):
    return json.loads((ROOT / "pretrained" / f"{name}_mnist.json").read_text())


def history(name):
    with open(ROOT / "pretrained" / f"{name}_history.csv") as file:
        return list(csv.DictReader(file))


def cells(text, begin):
    """Return the cells of the table's row that begins so, without the first."""
    (row,) = re.findall(rf"^\| {re.escape(begin)}[^|]*\|(.*)\|$", text, re.MULTILINE)
    return [cell.strip() for cell in row.split("|")]


def fd(name):
    scores = [run["frechet_distance"] for run in facts(name)["scores"]]
    return f"{mean(scores):.2f}", f"{stdev(scores):.2f}"


@pytest.mark.parametrize("name", ALL_SCRIPTS)
def test_figures_of_the_losses_are_those_of_the_files(name):
    """FD; hours of 40,000 steps at the measured speed, and minutes until FD is below DIGITS_FROM."""
    *_, distance, hours, minutes = cells(README, f"`{name}-mnist.py`")
    stem = name.replace("-", "_")
    assert distance == fd(stem)[0]
    speed = (ROOT / "benchmarks" / "README.md").read_text()
    milliseconds = int(cells(speed, f"{name} ")[1].split()[0])
    assert hours == f"{milliseconds * 40_000 / 3.6e6:.1f}"
    scored = [row for row in history(f"{stem}_mnist") if row["frechet_distance"]]
    step = next(int(r["step"]) for r in scored if float(r["frechet_distance"]) < DIGITS_FROM)
    assert minutes == f"{milliseconds * step / 60_000:.0f} min"


def test_figures_of_results_are_those_of_the_files():
    text = (ROOT / "docs" / "results.md").read_text()
    names = {"wgan": "wgan, seed 2", "wgan-gp": "wgan-gp, 10,000 steps"}
    keys = "precision", "coverage", "recall", "accuracy"
    for name in ALL_SCRIPTS:
        stem = name.replace("-", "_")
        runs = facts(stem)["scores"]
        (at_10000,) = (row for row in history(f"{stem}_mnist") if row["step"] == "10000")
        expected = [" ± ".join(fd(stem)), f"{float(at_10000['frechet_distance']):.2f}"]
        expected += [f"{mean(r[k] for r in runs):.3f}" if k in runs[0] else "" for k in keys]
        pattern = rf"^\| {names.get(name, name)} \| (\d+\.\d\d ± \d\.\d\d \|.*)\|$"
        (row,) = re.findall(pattern, text, re.MULTILINE)
        assert [cell.strip() for cell in row.split("|")] == expected
    last = f"{float(history('wgan_mnist_seed1')[-1]['frechet_distance']):.2f}"
    assert last in README
    assert last in text


def test_figures_of_pretrained_are_those_of_the_files():
    for name in ALL_SCRIPTS:
        stem = f"{name.replace('-', '_')}_mnist"
        found = facts(name.replace("-", "_"))
        runs, given = found["scores"], found["parameters"]
        columns = [([run[key] for run in runs if key in run], f) for key, f, _ in COLUMNS.values()]
        scores = [f"{mean(v):{f}} ± {stdev(v):{f}}" if v else "" for v, f in columns]
        assert cells(PRETRAINED, f"{stem} ") == scores
        hours = found["steps"] / found["steps_per_second"] / 3600
        how = [str(found["steps"]), str(given["seed"]), given["precision"], f"{hours:.1f}"]
        assert cells(PRETRAINED, f"`{stem}.h5`")[:4] == how
        assert found["sha256"] in PRETRAINED


def test_the_notebook_shows_the_verdicts_that_readme_tells():
    notebook = json.loads((ROOT / "docs" / "chapter.ipynb").read_text())
    texts = [o.get("text", "") for cell in notebook["cells"] for o in cell.get("outputs", [])]
    shown = dict(re.findall(r"drawn in (\w+) mode: (\S+)", "\n".join(map("".join, texts))))
    assert f"on 16 fakes drawn in inference mode is {shown['inference']}." in README
    assert f"gives in training mode it is {shown['training']} " in README


def test_commands_of_pretrained_are_those_of_the_files():
    trained = re.findall(r"^ {4}python3 (\S+)-mnist.py (--seed.*)$", PRETRAINED, re.MULTILINE)
    assert len(trained) == 3
    for name, flags in trained:
        params = vars(parser(name).parse_args(flags.split()))
        given = facts(name.replace("-", "_"))["parameters"]
        assert {key: params.get(key, value) for key, value in given.items()} == given


def test_the_tests_that_fidelity_names_are_there():
    named = re.findall(r"`(test_\w+)`", (ROOT / "docs" / "fidelity.md").read_text())
    tests = "".join(path.read_text() for path in (ROOT / "tests").glob("test_*.py"))
    assert named
    for name in {*named} - {"test_generator"}:
        assert f"def {name}(" in tests, name
