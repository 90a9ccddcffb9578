"""For the tests of a measure's authors."""

from __future__ import annotations

from measures import Measure


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

    failed = [f"{one.name}: {one.said}" for one in check(measure) if one.passed is False]
    if failed:
        cls = measure if isinstance(measure, type) else type(measure)
        raise AssertionError("\n".join([f"{cls.__name__} does not keep what a measure must:", *failed]))
