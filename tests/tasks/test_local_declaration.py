"""``task.yaml``: what it may say; everything else is told, with file, line and key."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tasks.base import DataError, TaskSpec
from tasks.local_declaration import Problems, declaration

GOOD = {"name": "my-task", "kind": "text", "labels": ["good", "bad"], "metric": "accuracy"}
TAGS = ["O", "B-PER", "I-PER"]


def read(**changes: object) -> tuple[TaskSpec, dict[str, str], dict[str, str]]:
    data = yaml.safe_dump({key: value for key, value in (GOOD | changes).items() if value is not None})
    found = declaration(data.encode(), "task.yaml")
    return found.spec, dict(found.columns), {name: code for name, (code, _) in found.languages.items()}


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(Problems) as caught:
        declaration(text.encode(), "task.yaml")
    assert all("\n" not in each and each.startswith("task.yaml") for each in caught.value.problems)
    assert str(caught.value) == caught.value.problems[0]
    return caught.value.problems


def test_the_least_that_is_needed() -> None:
    spec, columns, languages = read()
    assert (spec.name, spec.version, spec.kind, spec.metric) == ("my-task", 1, "text", "accuracy")
    assert spec.labels == ("good", "bad")
    assert (spec.licence, spec.homepage, spec.citation) == ("not stated",) * 3
    assert not spec.parallel
    assert columns == {"text": "text", "label": "label"}
    assert languages == {}


def test_all_that_may_be_said() -> None:
    said = {"licence": "CC0-1.0", "homepage": "https://a.example", "description": "A\ntask.\n", "citation": "Me"}
    spec, columns, languages = read(
        kind="text-pair",
        parallel=True,
        columns={"pair": "hypothesis"},
        languages={"platt": "nds", "no": "nob", "serbisch": "srp-Cyrl"},
        **said,
    )
    assert (spec.licence, spec.homepage, spec.description, spec.citation) == (
        "CC0-1.0",
        "https://a.example",
        "A task.",
        "Me",
    )
    assert spec.parallel
    assert columns == {"text": "text", "pair": "hypothesis", "label": "label"}
    assert languages == {"platt": "nds", "no": "nob", "serbisch": "srp-Cyrl"}


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "weighted_f1", "span_f1"])
def test_tagged_tokens_have_no_columns(metric: str) -> None:
    spec, columns, _ = read(kind="tagged", labels=TAGS, metric=metric)
    assert (spec.kind, spec.labels, spec.metric) == ("tagged", tuple(TAGS), metric)
    assert columns == {}


LINES = ["name: my-task", "kind: text", "labels: [good, bad]", "metric: accuracy"]


def changed(line: str, *more: str) -> str:
    """The good file with another line in place of its key's, and lines after it."""
    key = line.partition(":")[0]
    lines = [line if each.startswith(f"{key}:") else each for each in LINES]
    return "\n".join([*lines, *([] if line in lines else [line]), *more, ""])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (changed("name: My_Task"), "line 1: name: lower-case letters a to z, digits and single dashes"),
        (changed("name: a--b"), "found 'a--b'"),
        (changed("name: ../x"), "found '../x'"),
        (changed("name: " + 65 * "a"), "at most 64; found 'aaaa"),
        (changed("name: [a]"), "line 1: name: text is needed; found a list"),
        (changed("name: 7"), 'name: text is needed; found 7, which YAML reads as a number (quote it: "7")'),
        (changed("name:"), "line 1: name: text is needed; found nothing"),
        (changed("name: ''"), "line 1: name: text is needed; found ''"),
        (changed("kind: pair"), "line 2: kind: one of text, text-pair, tagged is needed; found 'pair'"),
        (changed("kind: txt"), "found 'txt' (did you mean 'text'?)"),
        (changed("metric: f1"), "line 4: metric: one of accuracy, macro_f1, weighted_f1, span_f1 is needed"),
        (changed("metric: {a: b}"), "weighted_f1, span_f1 is needed; found a mapping"),
        (changed("labels: good"), "line 3: labels: a list of at least 2, as in [positive, negative], is needed"),
        (changed("labels: [good]"), "is needed; found 1"),
        (changed("labels: [good, good]"), "line 3: labels: each may stand once; found 'good' twice"),
        (
            changed("labels: [yes, no]"),
            'line 3: labels: text is needed; found yes, which YAML reads as true (quote it: "yes")',
        ),
        (changed("labels:\n- a\n- no"), "line 5: labels: text is needed; found no, which YAML reads as false"),
        (changed("labels: [a, 1]"), 'found 1, which YAML reads as a number (quote it: "1")'),
        (changed("labels: [a, [b]]"), "line 3: labels: text is needed; found a list"),
        (
            changed("labels: [a, ' b']"),
            "labels: text without tabs, line breaks and outer blanks is needed; found ' b'",
        ),
        (changed('labels: [a, "b\\tc"]'), "found 'b\\tc'"),
        (changed('labels: [a, "b\\e"]'), "labels: text without control characters is needed; found U+001B"),
        (changed('labels: [a, "\\ud800"]'), "labels: text without control characters is needed; found U+D800"),
        (changed("license: MIT"), "line 5: unknown key 'license' (did you mean 'licence'?); allowed: name, kind,"),
        (changed("parallel: maybe"), "line 5: parallel: true or false is needed; found 'maybe'"),
        (changed("parallel: 1"), "parallel: true or false is needed; found 1, which YAML reads"),
        (changed("languages: [deu]"), "line 5: languages: a mapping, as in {my-folder: deu}, is needed"),
        (changed("languages: {norsk: no}"), "languages, 'norsk': text is needed; found no, which YAML"),
        (changed("columns: text"), "columns: a mapping, as in {text: tweet, label: sentiment}, is needed"),
        (changed("columns:", "  txt: a"), "line 6: columns: text, label may be named; found 'txt' (did you"),
        (changed("columns: {pair: a}"), "line 5: columns: text, label may be named; found 'pair'"),
        (changed("columns: {text: label}"), "columns: different names are needed; found text: label, label"),
        (changed("licence: 3.0"), "line 5: licence: text is needed; found 3.0, which YAML reads as a number"),
        (changed("kind: tagged", "columns: {text: a}"), "columns: tagged files have no header"),
        (changed("metric: span_f1"), "line 4: metric: span_f1 is for tagged tokens"),
        ("name: a\n", "labels, metric are needed; found name, without kind, labels, metric"),
        ("{}", "found none, without name, kind, labels, metric"),
    ],
)
def test_what_is_refused(text: str, told: str) -> None:
    assert told in problems(text)[0]


def test_a_list_and_a_text_are_no_declaration() -> None:
    for text in ("- a\n", "just text\n"):
        with pytest.raises(DataError, match="line 1: key: value lines are needed; found"):
            declaration(text.encode(), "task.yaml")


@pytest.mark.parametrize("labels", [["O", "B-PER"], ["B-PER", "I-PER"], ["O", "B-PER", "I-LOC"], ["O", "PER"]])
def test_spans_need_their_tags(labels: list[str]) -> None:
    text = yaml.safe_dump(GOOD | {"kind": "tagged", "metric": "span_f1", "labels": labels})
    [told] = problems(text)
    assert "B-kind and I-kind" in told
    assert ", ".join(labels) in told


def test_everything_that_is_wrong_is_told_at_once() -> None:
    told = problems("name: A\nkind: b\nlabels: [yes, c, c]\nmetric: d\nlicense: e\nparallel: f\n")
    keys = [each.split(": ")[1].split(" ")[0] for each in told]
    assert keys == ["unknown", "name", "kind", "metric", "labels", "labels", "parallel"]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["a", "b", "deu", "text"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.dictionaries(st.sampled_from([*GOOD, "languages", "columns", "parallel", "licence", "x"]), values),
    st.booleans(),
)
def test_any_values_are_a_declaration_or_refused_line_by_line(changes: dict[str, object], whole: bool) -> None:
    data = yaml.safe_dump(changes | GOOD if whole else GOOD | changes, allow_unicode=True).encode()
    try:
        found = declaration(data, "task.yaml")
    except DataError as error:
        told = getattr(error, "problems", (str(error),))
    else:
        told = ("task.yaml",)
        assert found.spec == TaskSpec.model_validate(found.spec.model_dump())
        found.spec.model_dump_json()
    assert all("\n" not in each and each.startswith("task.yaml") for each in told)
    "".join(told).encode()
