"""The README's code, commands and links, as a reader would use them."""

import re

import pytest
from helpers import FEW_STEPS, ROOT, apply_hunks, blocks, hunks, main

README = (ROOT / "README.md").read_text()
PAGES = [
    page
    for folder in (".", "docs", "lib", "benchmarks", "pretrained")
    for page in ROOT.glob(f"{folder}/*.md")
]


def test_a_gan_of_ones_own(tmp_path, monkeypatch, capsys):
    text = (ROOT / "lsgan-mnist.py").read_text()
    (diff,) = blocks("diff", README)
    changes = hunks(diff)
    assert len(changes) == 4
    (tmp_path / "hinge-mnist.py").write_text(apply_hunks(text, changes))
    monkeypatch.chdir(tmp_path)
    assert main(tmp_path / "hinge", FEW_STEPS, monkeypatch) == 0
    assert (tmp_path / "hinge_mnist" / "00004.png").exists()
    assert main(tmp_path / "hinge", ["--generator=hinge_mnist.h5"], monkeypatch) == 0
    assert "saved test_outputs/" in capsys.readouterr().out


def test_the_step_shown_is_the_scripts():
    (shown,) = blocks("python", README)
    script = (ROOT / "wgan-mnist.py").read_text()
    function = script[script.index("def gan_step") : script.index("\n    metrics = ")]

    def code(text):
        lines = map(str.strip, text.splitlines())
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


def test_both_languages_have_the_same_commands():
    def commands(text):
        start = text.split("\n## ")[1]  # the first section
        return [line.split(" #")[0].strip() for line in start.splitlines() if line[:4] == "    "]

    english, chinese = README, (ROOT / "README.zh-CN.md").read_text()
    assert commands(english) == commands(chinese) != []
    assert "(README.zh-CN.md)" in english
    assert "(README.md)" in chinese
