"""What our own code may use to read files: nothing that can run what it reads."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import benchmark
import leaderboard
import measures
import tasks

ROOMS = [Path(str(room.__file__)).parent for room in (benchmark, leaderboard, measures, tasks)]
FILES = sorted(path for room in ROOMS for path in room.rglob("*.py"))
SAFE = {"allow_pickle": False, "weights_only": True, "trust_remote_code": False}
NEEDED = {"torch.load": "weights_only", "read_array": "allow_pickle", "from_pretrained": "trust_remote_code"}
NEVER = {
    *("eval", "exec", "compile", "os.system", "os.popen", "yaml.load", "yaml.unsafe_load", "yaml.full_load"),
    *("shelve.open", "marshal.load", "marshal.loads", "joblib.load", "dill.load", "shutil.unpack_archive"),
    *("tarfile.open", "zipfile.ZipFile", "pickle.Unpickler", "pd.read_pickle", "runpy.run_path", "torch.hub.load"),
}
# Pickles of our own making that never leave this machine's pipes, and Babel's own data.
PICKLES = {("benchmark", "afresh.py"), ("tasks", "languages.py")}

# Reads and runs nothing: so that a run that was stopped ends with its own code (see there).
EMPTY = ("benchmark", "__main__.py", "exec('')")


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(path.read_text("utf8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def test_nothing_that_can_run_what_it_reads() -> None:
    found = set()
    for path in FILES:
        for name, call in calls(path):
            found.add(name)
            check(path, name, call)
    assert {"torch.load", "pickle.loads", "np.load"} <= found
    assert len(FILES) > 100


def check(path: Path, name: str, call: ast.Call) -> None:
    where = f"{path.name}, line {call.lineno}: {name}"
    given = {one.arg: ast.unparse(one.value) for one in call.keywords}
    if (path.parent.name, path.name, ast.unparse(call)) != EMPTY:
        assert name not in NEVER, where
    if name in ("pickle.load", "pickle.loads"):
        assert (path.parent.name, path.name) in PICKLES, where
    for keyword, value in SAFE.items():
        assert given.get(keyword, str(value)) == str(value), where
    for called, keyword in NEEDED.items():
        if name == called or name.endswith(f".{called}"):
            assert keyword in given or None in given, f"{where} without {keyword}"
    assert given.get("shell", "False") == "False", where
