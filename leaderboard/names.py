"""What readers know measures and metrics by."""

from __future__ import annotations

from leaderboard.records import PLAIN, Record

_METRICS = {"accuracy": "accuracy", "macro_f1": "macro F1", "weighted_f1": "weighted F1", "span_f1": "span F1"}


def name(record: Record) -> str:
    """The measure with its parameters, as on the command line: ``gradsim[blocks=body]``."""
    params = ",".join(f"{key}={value}" for key, value in sorted(record.measure_params.items()))
    return f"{record.measure}[{params}]" if params else record.measure


def full_name(record: Record) -> str:
    """:func:`name`, and the strategy where that is not plain: ``gradsim[blocks=body]@gradvac``."""
    return name(record) if record.strategy == PLAIN else f"{name(record)}@{record.strategy}"


def metric(key: str) -> str:
    """A metric of a record in words; one that is not known stays as it is."""
    return _METRICS.get(key, key)
