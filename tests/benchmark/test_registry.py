"""Names, parameters in brackets, and other people's plugins."""

from __future__ import annotations

import re
from typing import Literal, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.errors import UserError, did_you_mean
from benchmark.registry import create, describe, entries, find, parameters, parse
from measures.combined import Combined
from measures.gradsim import GradSim
from measures.overlap import Overlap

BUILT_IN = {
    "measures": [
        "combined", "embedding", "family", "fisher", "gradsim", "magnitude", "oracle", "overlap", "random",
        "same-script", "size", "size-ratio", "source-quality", "subnetwork", "tag", "task-vector", "topic",
        "tracin", "ttr", "typology",
    ],
    "tasks": ["afrisenti", "cldr-names", "planted", "udpos", "wikiann", "xnli"],
    "strategies": [
        "gradvac", "meta", "pcgrad", "plain", "subnet-dynamic", "subnet-random", "subnet-static",
        "watched",
    ],
}  # fmt: skip


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """Put a distribution with entry points and modules on the path, before everything else."""

    def make(name, points, modules=None, kind="measures"):
        folder = tmp_path / name
        info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        lines = [f"[benchmark.{kind}]", *(f"{key} = {value}" for key, value in points.items())]
        (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
        for module, text in (modules or {}).items():
            (folder / f"{module}.py").write_text(text)
        monkeypatch.syspath_prepend(folder)

    return make


MEASURE = """
from typing import Literal, Optional
import numpy as np
from measures import Measure, SimilarityMatrix

class Mine(Measure):
    name = "mine"
    access = "none"
    def __init__(self, way: Literal["left", "right"] = "left", size: int = 1, share: float = 0.5,
                 top: Optional[int] = None, exact: bool = False, level: Literal[1, 2] = 1,
                 either: "int | float" = 0, note="", *, word: "str | None" = None):
        self.given = dict(way=way, size=size, share=share, top=top, exact=exact, level=level,
                          either=either, note=note, word=word)
    def similarity(self, evidence):
        return SimilarityMatrix(evidence.languages, np.ones((len(evidence.languages),) * 2))

class Unfinished(Measure):
    name = "unfinished"
    access = "none"

class Fussy(Mine):
    def __init__(self, size: int = 1):
        raise ValueError("size must be\\neven")

number = 3
"""


@pytest.fixture
def mine(plugin):
    names = {"mine": "mine_plugin:Mine", "unfinished": "mine_plugin:Unfinished", "fussy": "mine_plugin:Fussy"}
    plugin("mine-dist", {**names, "number": "mine_plugin:number"}, {"mine_plugin": MEASURE})


def error(call, *arguments):
    with pytest.raises(UserError) as raised:
        call(*arguments)
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("kind", BUILT_IN)
def test_the_built_in_names(kind):
    known, problems = entries(kind)
    ours = [name for name, entry in known.items() if entry.distribution == "kinship-bench"]
    assert ours == BUILT_IN[kind]
    assert problems == {}
    assert all(isinstance(known[name].load(), type) for name in ours)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("gradsim", ("gradsim", {})),
        (" gradsim ", ("gradsim", {})),
        ("gradsim[]", ("gradsim", {})),
        ("gradsim[blocks=body]", ("gradsim", {"blocks": "body"})),
        ("gradsim [ blocks = body , split=train, ]", ("gradsim", {"blocks": "body", "split": "train"})),
        ("gradsim[blocks=layer.0-3+head]", ("gradsim", {"blocks": "layer.0-3+head"})),
        ("a[b=c=d]", ("a", {"b": "c=d"})),
        ("a[b=c,\n d=e]", ("a", {"b": "c", "d": "e"})),
        (
            "combined[measures=gradsim[blocks=body,split=train]+overlap[unit=chars],trees=50]",
            ("combined", {"measures": "gradsim[blocks=body,split=train]+overlap[unit=chars]", "trees": "50"}),
        ),
        ("a [ b = c[d=1, e=f[g=2,h=3] ] , i=j[], ]", ("a", {"b": "c[d=1, e=f[g=2,h=3] ]", "i": "j[]"})),
    ],
)
def test_parse(spec, expected):
    assert parse(spec) == expected


@pytest.mark.parametrize(
    "spec", ["", " ", "gradsim[", "gradsim]", "gradsim[blocks=body", "gradsimblocks=body]", "[a=b]",
             "two words", "gradsim[a=b] more", "gradsim[a=b]]["],
)  # fmt: skip
def test_malformed_names(spec):
    text = error(parse, spec)
    assert text == f"a name is written name or name[key=value,key=value], found {spec!r}"


@pytest.mark.parametrize(
    "spec",
    ["gradsim[blocks=body]]", "m[a=b[c]", "m[a=b]c]", "m[a=1][b=2]", "m[a=]b[]", "m[[]", "m[a=b[c=1]],d=2]"],
)
def test_brackets_that_do_not_balance(spec):
    assert error(parse, spec) == (
        f"brackets must balance, one pair after the name, as in name[key=other[key=value]], found {spec!r}"
    )


NAMES = st.text("abc-", min_size=1, max_size=3)
VALUES = st.recursive(
    st.text("ab.+1", min_size=1, max_size=4),
    lambda inner: st.builds(
        lambda name, given: f"{name}[{','.join(f'{key}={value}' for key, value in given.items())}]",
        NAMES,
        st.dictionaries(NAMES, inner, max_size=3),
    ),
    max_leaves=6,
)


@given(name=NAMES, params=st.dictionaries(NAMES, VALUES, max_size=4))
def test_what_is_written_is_read_however_deep(name, params):
    inside = ",".join(f"{key}={value}" for key, value in params.items())
    assert parse(f"{name}[{inside}]") == (name, params)


@given(st.text("ab[]=, +\n", max_size=12))
def test_any_text_is_read_or_refused_in_one_line(text):
    try:
        name, params = parse(text)
    except UserError:
        assert error(parse, text).endswith(repr(text))
        return
    assert name.strip() == name != ""
    assert all(value.count("[") == value.count("]") for value in params.values())


@pytest.mark.parametrize(
    ("spec", "part"),
    [
        ("m[body]", "body"),
        ("m[=body]", "=body"),
        ("m[blocks=]", "blocks="),
        ("m[a=1,b]", "b"),
        ("m[ = ]", "="),
        ("m[x[a=b],c=d]", "x[a=b]"),
        ("m[x[a=b]=c]", "x[a=b]=c"),
        ("m[a=b,[c,d]]", "[c,d]"),
    ],
)
def test_malformed_parameters(spec, part):
    assert error(parse, spec) == f"parameters are written key=value, found {part!r} in {spec!r}"


def test_a_parameter_given_twice():
    assert error(parse, "m[a=1, b=2,a =1]") == "parameter 'a' is given twice in 'm[a=1, b=2,a =1]'"


@pytest.mark.parametrize(
    ("kind", "name", "word", "meant"),
    [
        ("measures", "gradsin", "measure", "gradsim"),
        ("measures", "GradSim", "measure", "gradsim"),
        ("tasks", "cldr_names", "task", "cldr-names"),
        ("strategies", "plan", "strategy", "plain"),
    ],
)
def test_unknown_names_are_suggested(kind, name, word, meant):
    text = error(find, kind, name)
    assert text.startswith(f"unknown {word} {name!r} (did you mean {meant!r}")
    assert text.endswith(f"known: {', '.join(BUILT_IN[kind])}")
    assert error(create, kind, f"{name}[a=1]") == text


def test_nothing_is_suggested_where_nothing_is_near():
    assert error(find, "measures", "qqqqqq").startswith("unknown measure 'qqqqqq'; known: ")
    assert did_you_mean("qqqqqq", ["gradsim"]) == ""


def test_create_gives_the_object_and_typed_parameters():
    measure, given = create("measures", "overlap[unit=chars,n=2]")
    assert isinstance(measure, Overlap)
    assert (measure.unit, measure.n, measure.coefficient) == ("chars", 2, "dice")
    assert given == {"unit": "chars", "n": 2}
    measure, given = create("measures", "gradsim[blocks=layer.0-3+head]")
    assert isinstance(measure, GradSim)
    assert given == {"blocks": "layer.0-3+head"}
    assert create("strategies", "plain")[1] == {}


def test_create_gives_a_measure_the_names_of_others():
    others = "gradsim[blocks=layer.0+head,split=train]+overlap[unit=chars,n=2]"
    measure, given = create("measures", f"combined[measures={others}]")
    assert isinstance(measure, Combined)
    assert given == {"measures": others}
    assert measure.needs().measures == ("gradsim[blocks=layer.0+head,split=train]", "overlap[unit=chars,n=2]")


def test_an_unknown_parameter():
    text = error(create, "measures", "gradsim[block=body]")
    assert text == (
        "'gradsim' has no parameter 'block' (did you mean 'blocks'?); its parameters: blocks, split, estimator"
    )
    assert error(create, "measures", "random[seed=1]").endswith("its parameters: none")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("gradsim[split=tran]", "gradsim[split=…] takes dev|train, found 'tran' (did you mean 'train'?)"),
        ("gradsim[split=test]", "gradsim[split=…] takes dev|train, found 'test'"),
        ("overlap[n=two]", "overlap[n=…] takes a whole number, found 'two'"),
        ("overlap[n=1.5]", "overlap[n=…] takes a whole number, found '1.5'"),
        ("overlap[n=None]", "overlap[n=…] takes a whole number, found 'None'"),
        ("mine[way=up]", "mine[way=…] takes left|right, found 'up'"),
        ("mine[size=x]", "mine[size=…] takes a whole number, found 'x'"),
        ("mine[share=x]", "mine[share=…] takes a number, found 'x'"),
        ("mine[share=nan]", "mine[share=…] takes a number, found 'nan'"),
        ("mine[share=1e999]", "mine[share=…] takes a number, found '1e999'"),
        ("mine[share=-inf]", "mine[share=…] takes a number, found '-inf'"),
        ("mine[top=x]", "mine[top=…] takes a whole number, found 'x'"),
        ("mine[exact=yes]", "mine[exact=…] takes true|false, found 'yes'"),
        ("mine[level=3]", "mine[level=…] takes 1|2, found '3'"),
        ("mine[either=x]", "mine[either=…] takes a whole number or a number, found 'x'"),
        ("mine[zzz=1]", "'mine' has no parameter 'zzz'; its parameters: "
         "way, size, share, top, exact, level, either, note, word"),
    ],
)  # fmt: skip
def test_a_value_that_is_not_allowed(mine, spec, message):
    assert error(create, "measures", spec) == message


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("way=right", "right"),
        ("size=-3", -3),
        ("share=.25", 0.25),
        ("share=2", 2.0),
        ("top=4", 4),
        ("exact=True", True),
        ("exact=false", False),  # the default
        ("level=2", 2),
        ("either=1", 1),
        ("either=1.5", 1.5),
        ("note=7", "7"),
        ("word=7", "7"),
    ],
)
def test_values_get_the_type_of_the_parameter(mine, text, value):
    measure, given = create("measures", f"mine[{text}]")
    key = text.partition("=")[0]
    assert given == ({} if text == "exact=false" else {key: value})  # what is set apart from the defaults
    assert measure.given[key] == value
    assert type(measure.given[key]) is type(value)


def test_describe():
    assert describe(Literal["a", "b"]) == "a|b"
    assert describe(Optional[int]) == "a whole number"  # noqa: UP045
    assert describe(int | None) == "a whole number"
    assert describe(float) == "a number"
    assert describe(str) == "text"
    assert list(parameters(GradSim)) == ["blocks", "split", "estimator"]


def test_a_plugin_is_listed_with_its_distribution(mine):
    known, problems = entries("measures")
    assert known["mine"].distribution == "mine-dist"
    assert list(known) == sorted(known)
    assert problems == {}


def test_a_broken_plugin_is_named_and_harms_nobody(plugin):
    plugin(
        "broken-dist",
        {"raises": "broken_one:Any", "absent": "no_such_module:Any", "nameless": "broken_two:Any"},
        {"broken_one": "raise OSError('no\\nlicence')", "broken_two": ""},
    )
    known, problems = entries("measures")
    assert problems == {}
    assert {"raises", "absent", "nameless"} < set(known)
    text = error(create, "measures", "raises")
    assert text == "'raises' from broken-dist (broken_one:Any) cannot be loaded: OSError: no licence"
    assert "cannot be loaded: ModuleNotFoundError: No module named 'no_such_module'" in error(known["absent"].load)
    assert "'nameless' from broken-dist (broken_two:Any) cannot be loaded: AttributeError" in error(
        known["nameless"].load
    )
    for name in BUILT_IN["measures"]:
        create("measures", name)


def test_what_is_no_class_or_not_finished(mine):
    assert error(create, "measures", "number") == "'number' from mine-dist must be a class, found int"
    assert error(create, "measures", "unfinished") == (
        "'unfinished' lacks what every one of the measures has: similarity"
    )
    assert error(create, "measures", "fussy[size=3]") == "fussy[size=3]: size must be even"


def test_two_plugins_of_one_name(plugin):
    plugin("first-dist", {"twin": "twin_one:Any", "fine": "twin_one:Fine"}, {"twin_one": "class Fine: pass"})
    plugin("second-dist", {"twin": "twin_two:Any"})
    _, problems = entries("measures")
    assert len(problems) == 1
    pattern = r"'twin' is offered by both (\S+) and (\S+)"
    assert sorted(re.fullmatch(pattern, problems["twin"]).groups()) == ["first-dist", "second-dist"]
    assert error(create, "measures", "twin") == problems["twin"]
    create("measures", "fine")
    create("measures", "random")


def test_a_built_in_name_cannot_be_taken(plugin):
    plugin("greedy", {"gradsim": "greedy_one:Any"}, {"greedy_one": "class Any: pass"})
    known, problems = entries("measures")
    assert problems == {"gradsim": "'gradsim' is built in and cannot be taken: greedy offers it too"}
    assert known["gradsim"].distribution == "kinship-bench"
    assert isinstance(create("measures", "gradsim")[0], GradSim)


def test_a_built_in_name_cannot_be_taken_by_two(plugin):
    plugin("greedy", {"gradsim": "greedy_one:Any"})
    plugin("greedier", {"gradsim": "greedy_two:Any"})
    assert isinstance(create("measures", "gradsim")[0], GradSim)


def test_a_built_in_name_cannot_be_taken_whatever_the_plugin_is_called(plugin):
    plugin("bothersome", {"gradsim": "greedy_one:Any"})
    assert isinstance(create("measures", "gradsim")[0], GradSim)


def test_the_kinds_do_not_mix(plugin):
    plugin("tasks-dist", {"mine-too": "x:Y"}, kind="tasks")
    assert "mine-too" in entries("tasks")[0]
    assert "mine-too" not in entries("measures")[0]
