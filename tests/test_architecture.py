"""Imports of lib run one way, and who wants little of it loads little."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter

from helpers import ROOT


def modules():
    """Return the path of each module of lib, packages left out, by its name."""
    paths = [path for path in (ROOT / "lib").rglob("*.py") if path.name != "__init__.py"]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in paths}


def imported(path, known):
    """Return the modules among `known` that a file imports, be it in a function."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import"
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names & {*known}


def test_imports_have_no_circle():
    known = modules()
    graph = {name: imported(path, known) for name, path in known.items()}
    assert sum(map(len, graph.values())) > 50
    TopologicalSorter(graph).prepare()  # raises CycleError


def test_who_wants_little_loads_little():
    program = """
import sys
from lib.plumbing.errors import UserError
from lib.program import flags
assert "tensorflow" not in sys.modules, "errors or flags import TensorFlow"
from lib import gan
loaded = {"lib.training.run", "lib.training.distribute", "lib.scoring.evaluation"} & {*sys.modules}
assert not loaded, loaded
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
