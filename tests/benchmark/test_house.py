"""Four rooms, one direction; and nothing heavy is imported before it is used."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOMS = ("benchmark", "leaderboard", "measures", "tasks")
ALLOWED = {
    "tasks": ("tasks",),
    "measures": ("measures", "tasks"),
    "leaderboard": ("leaderboard", "tasks.languages"),
    "benchmark": ROOMS,
}
HEAVY = (
    *("torch", "transformers", "datasets", "sklearn", "scipy", "sentence_transformers"),
    *("matplotlib", "plotly"),
)


def modules(room):
    folder = Path(importlib.import_module(room).__file__).parent
    for path in sorted(folder.rglob("*.py")):
        parts = (room, *path.relative_to(folder).with_suffix("").parts)
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def resolve(module, node, is_package):
    """The names that an import statement reads, absolute: ``from tasks import base`` is ``tasks.base``."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not node.level:
        return [f"{node.module}.{alias.name}" for alias in node.names]
    parts = module.split(".")
    base = parts[: len(parts) - node.level + is_package]
    return [".".join([*base, *([node.module] if node.module else []), alias.name]) for alias in node.names]


def inside(name, packages):
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def against_the_arrows(module, source, is_package=False):
    """Imports of ours that a module may not have, wherever in the module they stand."""
    found = [
        name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in resolve(module, node, is_package)
    ]
    room = module.split(".")[0]
    return [name for name in found if inside(name, ROOMS) and not inside(name, ALLOWED[room])]


def is_type_checking(node):
    test = node.test
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def run_on_import(node):
    """Statements under a node that are executed when the module is imported."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and is_type_checking(child):
            for statement in child.orelse:
                yield statement
                yield from run_on_import(statement)
            continue
        yield child
        yield from run_on_import(child)


def heavy_on_import(module, source, is_package=False):
    return [
        name
        for node in run_on_import(ast.parse(source))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in resolve(module, node, is_package)
        if inside(name, HEAVY)
    ]


@pytest.mark.parametrize("room", ROOMS)
def test_no_import_against_the_arrows(room):
    seen = dict(modules(room))
    assert len(seen) > 3
    wrong = {
        name: found
        for name, path in seen.items()
        if (found := against_the_arrows(name, path.read_text("utf8"), path.name == "__init__.py"))
    }
    assert wrong == {}


@pytest.mark.parametrize("room", ROOMS)
def test_nothing_heavy_at_module_level(room):
    wrong = {
        name: found
        for name, path in modules(room)
        if not inside(name, ["benchmark.training"])
        and (found := heavy_on_import(name, path.read_text("utf8"), path.name == "__init__.py"))
    }
    assert wrong == {}


@pytest.mark.parametrize("room", ROOMS)
def test_nothing_outside_training_imports_training_at_module_level(room):
    """That would be torch by another door."""
    wrong = []
    for name, path in modules(room):
        if inside(name, ["benchmark.training"]):
            continue
        for node in run_on_import(ast.parse(path.read_text("utf8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = resolve(name, node, path.name == "__init__.py")
                wrong += [(name, one) for one in names if inside(one, ["benchmark.training"])]
    assert wrong == []


@pytest.mark.parametrize(
    ("module", "source", "expected"),
    [
        ("tasks.base", "import measures", ["measures"]),
        ("tasks.base", "from tasks import languages", []),
        ("tasks.base", "def f():\n    from benchmark.seeds import derive", ["benchmark.seeds.derive"]),
        ("measures.base", "if TYPE_CHECKING:\n    import benchmark.jobs", ["benchmark.jobs"]),
        ("measures.base", "from tasks.base import Example\nfrom . import needs", []),
        ("measures.base", "from .. import leaderboard", ["leaderboard"]),
        ("leaderboard.tables", "from tasks.base import Example", ["tasks.base.Example"]),
        ("leaderboard.tables", "import tasks", ["tasks"]),
        ("leaderboard.tables", "from tasks.languages import Language\nfrom tasks import languages", []),
        ("leaderboard.tables", "import taskset, measures_of_mine", []),
        ("benchmark.jobs", "import tasks, measures, leaderboard", []),
    ],
)
def test_the_walk_sees_imports_against_the_arrows(module, source, expected):
    assert against_the_arrows(module, source) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import torch", ["torch"]),
        ("import numpy, scipy.stats as s", ["scipy.stats"]),
        ("try:\n    from sklearn import metrics\nexcept ImportError:\n    import datasets",
         ["sklearn.metrics", "datasets"]),
        ("if True:\n    import transformers", ["transformers"]),
        ("class A:\n    import torch", ["torch"]),
        ("with x:\n    import torch.nn", ["torch.nn"]),
        ("if TYPE_CHECKING:\n    import torch", []),
        ("if typing.TYPE_CHECKING:\n    import torch\nelse:\n    import scipy", ["scipy"]),
        ("def f():\n    import torch\nclass A:\n    def g(self):\n        import torch", []),
        ("import torchlight\nfrom tasks import datasets", []),
    ],
)  # fmt: skip
def test_the_walk_sees_heavy_imports(source, expected):
    assert heavy_on_import("benchmark.jobs", source) == expected


LOADED = f"""
import sys
from benchmark.cli import command
code = command(sys.argv[1:])
print("loaded:", [name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.parametrize("arguments", [["list"], ["list", "measures"], ["--help"], ["show", "gradsim"]])
def test_nothing_heavy_is_loaded_to_list_and_show(tmp_path, arguments):
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *arguments], capture_output=True, text=True, timeout=60, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == "loaded: []\n"
    if arguments[0] == "list":
        assert "gradsim" in done.stdout
