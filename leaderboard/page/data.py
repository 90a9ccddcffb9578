"""What the figures of one table are drawn from, as compact JSON-able data.

Matrices are flat lists in the order of the table's languages, row by row (source by source), four significant
digits; of a symmetric one only the upper triangle with the diagonal. Languages are places in that order.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leaderboard.clustering import clustered
from leaderboard.names import metric, name
from leaderboard.page.clusters import colours, together
from leaderboard.ranking import per_target_spearman
from leaderboard.records import Record, Rows, Score
from leaderboard.rows import Row
from leaderboard.strategies import of_measures
from leaderboard.tables import Table
from tasks.languages import UnknownLanguage, language

Matrix = NDArray[np.float64]
Data = dict[str, Any]
Flat = list[float | int | None]

PHASES = ("first third", "middle third", "last third")
"""Views along the training; all others are of parts of the model."""


def table_data(board: Table, records: Sequence[Record]) -> Data:
    """Everything the figures of ``board`` need, measures in the order of its rows."""
    known = {name(record): record for record in of_measures(records)}
    rows = [row for row in board.rows if row["name"] in known and row["kind"] != "baseline"]
    ordered = [known[row["name"]] for row in rows]
    codes = list(dict.fromkeys(code for record in ordered for code in record.languages))
    groupings = [_groups(record, codes) for record in ordered]
    painted = colours(groupings)
    transfers: list[Flat] = []
    measures = []
    for record, row, groups, paint in zip(ordered, rows, groupings, painted, strict=True):
        one = _measure(record, row, codes) | {"groups": groups, "colours": paint}
        if record.correlation is not None:
            transfer = _packed(_placed(record.transfer.test, record, codes))
            if transfer not in transfers:  # one, unless records were put together by hand
                transfers.append(transfer)
            one["transfer"] = transfers.index(transfer)
        measures.append(one)
    return {
        "task": board.task,
        "protocol": board.protocol_id,
        "facts": _facts(records[0]),
        "metric": metric(records[0].transfer.metric),
        "languages": [[code, language_name(code)] for code in codes],
        "order": together([groups for groups in groupings if groups], len(codes)),
        "transfers": transfers,
        "measures": measures,
    }


def language_name(code: str) -> str:
    """The English name; the code where there is none, as for those of private use."""
    try:
        found = language(code).name
    except UnknownLanguage:
        return code
    return code if found.startswith("Private use") else found


def family(row: Row) -> str:
    """The measure without its parameters."""
    return str(row["name"]).split("[", 1)[0]


def _measure(record: Record, row: Row, codes: list[str]) -> Data:
    one: Data = {"name": row["name"], "kind": row["kind"], "family": family(row), "skipped": record.skipped}
    one |= {"access": record.access, "strategy": record.strategy, "objective": _short(record.objective)}
    one |= {"trainings": record.cost.trainings, "seconds": _short(record.cost.seconds)}
    gain = record.objective_gain
    one["objective_gain"] = None if gain is None else [_short(gain.spearman), gain.draws]
    one["recovery"] = None if record.recovery is None else _short(record.recovery.adjusted_rand)
    one["served"] = {codes.index(code): group for code, group in sorted((record.served or {}).items())}
    contributions = record.similarity.contributions or {}
    shares = sorted(contributions.items(), key=lambda item: (-item[1], item[0]))
    one["contributions"] = [[part, _short(share)] for part, share in shares]
    if record.skipped or record.correlation is None:
        return one
    S = _placed(record.similarity.matrix, record, codes)
    T = _placed(record.transfer.test, record, codes)
    found = clustered(S)
    tree = [] if found.tree is None else found.tree.tolist()
    # A hair's breadth of rounding below 0 would be drawn beyond the axis.
    merges = [[int(left), int(right), _short(max(height, 0.0))] for left, right, height, _ in tree]
    yardstick = record.similarity.yardstick or {}
    return one | {
        "order": found.order,
        "leaves": found.leaves,
        "merges": merges,
        "similarity": _packed(S),
        "rho": _short(record.correlation.centred_per_target_spearman),
        "views": [
            {
                "name": view,
                "along": view in PHASES,
                "rho": _short(per_target_spearman(V, T, centred=True)),
                "matrix": _packed(V),
            }
            for view, rows in sorted((record.similarity.views or {}).items(), key=_view_order)
            for V in [_placed(rows, record, codes)]
        ],
        "yardstick": {place: _short(yardstick[code]) for place, code in enumerate(codes) if code in yardstick},
        "gains": {kind: _gains(record, row, kind, codes) for kind in ("multilingual", "monolingual")},
    }


def _groups(record: Record, codes: list[str]) -> list[list[int]]:
    return [[codes.index(code) for code in group] for group in record.groups or []]


def _gains(record: Record, row: Row, kind: str, codes: list[str]) -> Data | None:
    """Of every language; the interval is of their mean, which is all that a record knows."""
    grouped, other = record.scores.grouped, getattr(record.scores, kind)
    if not isinstance(grouped, Score) or not isinstance(other, Score) or grouped.metric != other.metric:
        return None
    own, base = grouped.per_language, other.per_language
    gain: Data = {"each": [_short(own[c] - base[c]) if c in own and c in base else None for c in codes]}
    gain["mean"] = _short(row[f"gain_over_{kind}"])
    for over in ("items", "seeds"):
        low, high = (row[f"gain_over_{kind}_{over}_{end}"] for end in ("low", "high"))
        gain[over] = None if low is None else [_short(low), _short(high)]
    return gain


def _facts(record: Record) -> str:
    """What was measured on, for the caption of a figure: equal for all of a protocol."""
    seeds = record.protocol.get("seeds")
    if not isinstance(seeds, (list, tuple)) or not seeds:
        seeds = [one.seed for one in record.transfer.seeds] if seeds is None else [seeds]
    return " · ".join(
        [
            f"{record.task}, data {record.data.source} {record.data.fingerprint[:12]}",
            f"model {record.protocol.get('model', '–')}",
            f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds)) or '–'}",
        ]
    )


def _view_order(view: tuple[str, Any]) -> tuple[int, int, list[tuple[int, str]]]:
    """From the model's input to its output, from the start of the training to its end."""
    label = view[0]
    if label in PHASES:
        return 1, PHASES.index(label), []
    place = {"embeddings": 0, "positions": 1, "head": 3}.get(label, 2)
    return 0, place, [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", label)]


def _placed(rows: Rows, record: Record, codes: list[str]) -> Matrix:
    """A record's matrix in the table's order of languages."""
    matrix = np.array(rows, dtype=np.float64).reshape(len(record.languages), -1)
    if record.languages == codes:
        return matrix
    full = np.full((len(codes), len(codes)), np.nan)
    at = [codes.index(code) for code in record.languages]
    full[np.ix_(at, at)] = matrix
    return full


def _packed(matrix: Matrix) -> Flat:
    cells = [_short(cell) for cell in matrix.ravel().tolist()]
    n = len(matrix)
    square = [cells[n * s : n * s + n] for s in range(n)]
    if all(square[s][t] == square[t][s] for s in range(n) for t in range(s)):
        return [square[s][t] for s in range(n) for t in range(s, n)]
    return cells


def _short(value: float | None) -> float | int | None:
    """Four significant digits; an integer where that says the same in fewer letters; None for NaN."""
    if value is None or value != value:
        return None
    short = float(f"{value:.4g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short
