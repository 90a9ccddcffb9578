"""Which measures a learned combination takes, and how they are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from measures import MeasureError
from measures.combined import LANGRANK, Combined, components, split_outside


def test_langrank_s_features_if_nothing_is_said():
    needs = Combined().needs()
    assert needs.measures == (
        "overlap", "overlap[unit=subwords]", "ttr", "size-ratio", "family", "typology[features=geography]",
        "typology[features=inventory]", "typology", "typology[features=phonology]",
    )  # fmt: skip
    assert needs.transfer
    assert needs.readings == frozenset()
    assert Combined().measures == LANGRANK
    assert (Combined.name, Combined.access, Combined.symmetric) == ("combined", "transfer", False)


def test_a_plus_in_brackets_belongs_to_the_name():
    given = " gradsim[blocks=layer.0+embeddings,split=dev] + overlap +a[b=c[d=e+f]+g]"
    assert components(given) == ("gradsim[blocks=layer.0+embeddings,split=dev]", "overlap", "a[b=c[d=e+f]+g]")


PIECES = st.recursive(
    st.text("ab=,", max_size=4),
    lambda inner: st.lists(st.one_of(inner, st.just("+")), max_size=3).map(lambda parts: f"x[{''.join(parts)}]"),
    max_leaves=8,
)


@given(st.lists(PIECES, min_size=1, max_size=5))
def test_what_is_joined_is_split_again(parts):
    assert split_outside("+".join(parts), "+") == parts


@pytest.mark.parametrize("text", ["a[", "a]", "a]b[", "a[b]]", "[[]", "a]+b["])
def test_brackets_have_to_balance(text):
    with pytest.raises(ValueError, match=r"^brackets must balance, found '.*'$"):
        split_outside(text, "+")
    with pytest.raises(MeasureError, match=r"^measures: brackets must balance"):
        Combined(text).needs()


@pytest.mark.parametrize("text", ["", " ", "+", "a+", "+a", "a++b", "a[b=c]+ "])
def test_no_measure(text):
    with pytest.raises(MeasureError) as refused:
        Combined(text).needs()
    assert str(refused.value) == f"measures must be one name or several joined with +, found {text!r}"


def test_a_measure_given_twice():
    with pytest.raises(MeasureError, match=r"^measures must differ from each other, found 'b\[c=d\]' twice$"):
        Combined("b[c=d]+a+ b[c=d]").needs()
    assert components("b[c=d]+b+b[c=e]") == ("b[c=d]", "b", "b[c=e]")


@pytest.mark.parametrize("name", ["oracle", "source-quality", "combined", "combined[measures=a+b]", "oracle []"])
def test_a_measure_that_sees_transfer(name):
    with pytest.raises(MeasureError) as refused:
        Combined(f"overlap+{name}").needs()
    assert str(refused.value) == (
        "measures may not see transfer, which is to be predicted "
        f"(not oracle, source-quality, combined), found {name!r}"
    )
