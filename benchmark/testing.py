"""For the tests of those who add a measure or a strategy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from measures import Measure

if TYPE_CHECKING:
    from benchmark.findings import Finding
    from benchmark.training.strategy import Strategy


def check_measure(measure: Measure | type[Measure]) -> None:
    """Put a measure through the conformance suite of ``python -m benchmark check``; no need to register it.

    A class is checked with its defaults. Trainings, where it needs any, are small and are done once for
    all measures checked by one process. With pytest::

        import pytest
        from benchmark.testing import check_measure
        from my_package import MyMeasure

        @pytest.mark.parametrize("scale", [1.0, 2.0])
        def test_it_is_a_measure(scale):
            check_measure(MyMeasure(scale=scale))

    Raises:
        AssertionError: lists in words everything that failed.
    """
    from benchmark.check import check

    _raise("measure", measure, check(measure))


def check_strategy(strategy: Strategy | type[Strategy]) -> None:
    """The same for a training strategy, tried in trainings of a few steps.

    Raises:
        AssertionError: lists in words everything that failed.
    """
    from benchmark.check_strategy import check_strategy as check

    _raise("strategy", strategy, check(strategy))


def _raise(what: str, checked: object, findings: Iterable[Finding]) -> None:
    failed = [f"{one.name}: {one.said}" for one in findings if one.passed is False]
    if failed:
        cls = checked if isinstance(checked, type) else type(checked)
        raise AssertionError("\n".join([f"{cls.__name__} does not keep what a {what} must:", *failed]))
