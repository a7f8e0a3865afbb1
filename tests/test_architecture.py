"""Imports of lib run one way, and who wants little of it loads little."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter

from helpers import ROOT

# Each imports only from lines above, or from its own package.
RANKS = [
    ("lib.plumbing",),
    ("lib.pictures", "lib.keras2", "lib.training.defaults"),
    ("lib.data", "lib.program.flags"),
    ("lib.generator_file",),
    ("lib.scoring",),
    ("lib.training",),
    ("lib.gan",),
    ("lib.sampling",),
    ("lib.program.main",),
]


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


def rank(name):
    """Return the line of RANKS whose longest name begins a module's, and that name."""
    found = [
        (len(start), line, start)
        for line, starts in enumerate(RANKS)
        for start in starts
        if f"{name}.".startswith(f"{start}.")
    ]
    return max(found)[1:]


def test_imports_run_one_way():
    known = modules()
    graph = {name: imported(path, known) for name, path in known.items()}
    assert sum(map(len, graph.values())) > 50
    TopologicalSorter(graph).prepare()  # raises CycleError
    wrong = [
        f"{name} imports {other}"
        for name, others in graph.items()
        for other in others
        if rank(other) != rank(name) and rank(other)[0] >= rank(name)[0]
    ]
    assert not wrong


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
