"""Names and parameters as anybody may type them, and plugins that do what they should not."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from benchmark.cli import command
from benchmark.errors import UserError
from benchmark.registry import Kind, create, entries, parse

MODULES = {
    "fine": "class Fine:\n    '''Fine.'''\n    def __init__(self, size: int = 1) -> None:\n        pass\n",
    "exits": "import sys\nsys.exit(0)\n",
    "interrupts": "raise KeyboardInterrupt\n",
    "other": "class Other(BaseException):\n    def __str__(self):\n        raise SystemExit\nraise Other\n",
    "talks": "print('not json')\nclass Talks:\n    'It talks.'\n    def __init__(self):\n        print('nor')\n",
    "deep": "def f(): f()\nf()\n",
    "many": "raise ValueError('x\\n' * 10**6)\n",
    "leaves": "class Leaves:\n    def __init__(self):\n        raise SystemExit(3)\n",
    "strange": "class Meta(type):\n    @property\n    def __doc__(self):\n        raise SystemExit\n"
    "class Strange(metaclass=Meta):\n    pass\n",
}


def some(count: int) -> settings:
    usual = settings.default.max_examples
    health = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    return settings(max_examples=count if usual <= 100 else usual, suppress_health_check=health)


def short(error: Exception, longest: int = 2000) -> None:
    """What is said of it is one line, and no long one."""
    assert "\n" not in str(error)
    assert len(str(error)) < longest


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A distribution with these names and modules, before everything else on the path."""

    def make(points: dict[str, str], kind: str = "measures", modules: dict[str, str] | None = None) -> None:
        info = tmp_path / "site/bad_dist-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bad-dist\nVersion: 1.0\n")
        lines = [f"{name} = {value}" for name, value in points.items()]
        (info / "entry_points.txt").write_text("\n".join([f"[benchmark.{kind}]", *lines, ""]))
        for module, text in (modules or MODULES).items():
            (tmp_path / f"site/hostile_{module}.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path / "site")

    return make


POINTS = {module: f"hostile_{module}:{module.title()}" for module in MODULES}


@pytest.mark.parametrize("kind", get_args(Kind))
def test_no_built_in_name_can_be_taken(installed: Any, kind: Kind) -> None:
    ours = entries(kind)[0]
    installed(dict.fromkeys(ours, "hostile_fine:Fine"), kind)
    known, problems = entries(kind)
    assert {name: entry.point.value for name, entry in known.items()} == {
        name: entry.point.value for name, entry in ours.items()
    }
    assert sorted(problems) == sorted(ours)
    assert all("is built in and cannot be taken" in line for line in problems.values())


@pytest.mark.parametrize(
    "name",
    [
        "grаdsim",
        "gradsim ⁠x",
        "overlap[unit",
        "a b",
        "../x",
        "./x",
        "~x",
        "a+b",
        "a,b",
        "x" * 65,
        "a\x1b[31m",
        "@a",
    ],
)
def test_names_that_nobody_could_ask_for(installed: Any, name: str) -> None:
    installed({name: "hostile_fine:Fine", "fine": "hostile_fine:Fine"})
    known, problems = entries("measures")
    assert "fine" in known
    assert name not in known
    [problem] = problems.values()
    assert problem.isprintable()
    assert problem.endswith("from bad-dist")


@pytest.mark.usefixtures("no_hang")
def test_a_plugin_that_fails_stops_nobody(installed: Any, capsys: pytest.CaptureFixture[str]) -> None:
    installed(POINTS)
    made = set()
    for name in POINTS:
        try:
            create("measures", name)
            made.add(name)
        except UserError as error:
            short(error)
    assert {"fine", "talks"} <= made <= {"fine", "talks", "strange"}
    assert capsys.readouterr().out == ""
    assert command(["list", "measures"]) == 0
    told = capsys.readouterr()
    assert "gradsim" in told.out
    assert "It talks." in told.out
    assert "not json" not in told.out
    assert told.err.count("warning: ") == 6


@pytest.mark.usefixtures("no_hang")
@pytest.mark.parametrize("name", POINTS)
def test_a_strategy_that_fails_stops_nobody(installed: Any, capsys: Any, name: str) -> None:
    installed({name: POINTS[name]}, "strategies")
    assert command(["list", "strategies"]) == 0
    assert "plain" in capsys.readouterr().out


def test_ctrl_c_while_a_plugin_is_imported(installed: Any) -> None:
    pressed = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nfor _ in range(10**6): pass\n"
    installed({"slow": "hostile_slow:Slow"}, modules={"slow": pressed})
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            create("measures", "slow")
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.default_int_handler])
def test_an_interrupt_that_nobody_pressed(installed: Any, handler: Any) -> None:
    installed(POINTS)
    before = signal.signal(signal.SIGINT, handler)
    try:
        with pytest.raises(UserError, match=r"'interrupts' from bad-dist .* cannot be loaded: KeyboardInterrupt"):
            create("measures", "interrupts")
    finally:
        signal.signal(signal.SIGINT, before)


WORDS = st.sampled_from(
    [
        *(
            "gradsim",
            "overlap",
            "combined",
            "embedding",
            "topic",
            "typology",
            "[",
            "]",
            "[",
            "]",
            "=",
            ",",
            "+",
            " ",
        ),
        *(
            "n",
            "unit",
            "chars",
            "blocks",
            "layer.0-3",
            "measures",
            "model",
            "topics",
            "family",
            "oracle",
            "..",
            "/",
        ),
        *("-1", "0", "1e999", "nan", "9" * 400, "true", "\x00", "\ud800", "\n", "é", "~", "~nobody", "a" * 3000),
    ]
)
SPECS = st.lists(WORDS, max_size=9).map("".join) | st.text(max_size=20)


@given(spec=SPECS)
@some(60)
def test_what_is_typed_as_a_name(spec: str) -> None:
    try:
        name, params = parse(spec)
    except UserError as error:
        short(error)
    else:
        assert name
        assert not set(name) & set("[] \n\t")
        assert all(key and value for key, value in params.items())


@given(kind=st.sampled_from(get_args(Kind)), spec=SPECS)
@example(kind="tasks", spec="..\n")
@example(kind="tasks", spec="~\0")
@some(40)
def test_what_is_created_by_name(kind: Kind, spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        create(kind, spec)
    except UserError as error:
        short(error, 2000 + 3 * len(spec))  # a path is told as it was typed
    assert os.listdir(tmp_path) == []


@given(
    name=st.sampled_from(
        ["gradsim", "overlap", "combined", "embedding", "topic", "typology", "cldr-names", "planted"]
    ),
    key=st.sampled_from(
        ["blocks", "n", "unit", "measures", "layer", "model", "topics", "features", "classes", "seed"]
    ),
    value=SPECS,
)
@some(15)
def test_what_is_shown_by_name(name: str, key: str, value: str, capsys: Any) -> None:
    assert command(["show", f"{name}[{key}={value}]"]) in (0, 2)
    told = capsys.readouterr().err
    assert told.count("\n") <= 1
    assert "Traceback" not in told


LONG = {
    "blanks": "a" + " " * 10**5 + "b",
    "brackets": "[" * 10**5,
    "deep": "combined[measures=" * 3000 + "]" * 3000,
    "nobody's home": "~nobody/x",
    "again": "gradsim[]" * 9999,
}


@pytest.mark.usefixtures("no_hang")
@pytest.mark.parametrize("spec", LONG.values(), ids=LONG)
def test_what_is_long_or_deep(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    for kind in get_args(Kind):
        if not spec.startswith("combined") or kind != "measures":
            with pytest.raises(UserError) as caught:
                create(kind, spec)
            assert len(str(caught.value)) < 2000
    assert command(["show", spec]) == 2
    assert capsys.readouterr().err.count("\n") == 1
