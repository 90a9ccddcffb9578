"""What readers see of strategies: what each is worth, on languages kept out of training, and what it saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from leaderboard.cells import MISSING, Bold, Part, bounded, number, score
from leaderboard.records import JOINT, PLAIN
from leaderboard.rows import Row
from leaderboard.strategies import MEAN
from leaderboard.tables import Table

WIDEST = 2  # measures side by side with the one model of all languages; more stand one below the other


def strategy_parts(table: Table) -> list[Part]:
    """How languages are trained, languages that were kept out, what strategies saw; each only where known."""
    kinds = {kind: [row for row in table.strategies if row["kind"] == kind] for kind in _PARTS}
    return [make(kinds[kind]) for kind, make in _PARTS.items() if kinds[kind]]


def _trained(rows: Sequence[Row]) -> Part:
    known = {(row["name"], row["strategy"]): row for row in rows}
    called = list(dict.fromkeys(row["name"] for row in rows))
    gains = any(row["gain_over_plain"] is not None for row in rows)
    if len([one for one in called if one != JOINT]) > WIDEST:
        headers = ["groups by", "strategy", *_pair("", gains)]
        body = [[row["name"], row["strategy"], *_worth(row, gains)] for row in rows]
    else:
        headers = ["strategy", *(header for one in called for header in _pair(f"{one}: ", gains))]
        strategies = sorted({row["strategy"] for row in rows}, key=lambda of: (of != PLAIN, of))
        body = [
            [of, *(cell for one in called for cell in _worth(known.get((one, of)), gains))] for of in strategies
        ]
    return Part("trained", "How the languages are trained", headers, body, _reading(rows, called, gains))


def _pair(of: str, gains: bool) -> list[str]:
    return [f"{of}score", f"{of}over plain"] if gains else [f"{of}score"]


def _worth(row: Row | None, gains: bool) -> list[str]:
    if row is None:
        return [MISSING] * (1 + gains)
    return [score(row), _over_plain(row)] if gains else [score(row)]


def _over_plain(row: Row) -> str:
    """With the interval over seeds where there is one, else over items; bold where that lies above zero."""
    bounds = _bounds(row)
    text = bounded(row, "gain_over_plain", bounds, "+z.1f", 100)
    low = row[f"{bounds}_low"]
    return Bold(text) if low is not None and low > 0 else text


def _bounds(row: Row) -> str:
    return f"gain_over_plain_{'items' if row['gain_over_plain_seeds_low'] is None else 'seeds'}"


def _reading(rows: Sequence[Row], called: Sequence[str], gains: bool) -> str:
    told = ["Scores ×100."]
    if JOINT in called:
        told.append(f"{JOINT}: one model of all languages.")
    if called != [JOINT]:
        told.append("A measure: one model for each of its groups.")
    if gains:
        told.append(
            "Over plain: the gain, in points, over the same groups trained by plain from the same seeds, paired."
        )
    over = sorted({_bounds(row).rsplit("_", 1)[1] for row in rows if row[f"{_bounds(row)}_low"] is not None})
    if over:
        which = " or ".join({"items": "test items", "seeds": "seeds"}[one] for one in over)
        told.append(
            f"[ ]: 95 % interval of that gain over {which}, not adjusted for how many there are. Bold: better "
            "than plain, and the interval excludes zero."
        )
    if any(row["collapsed"] for row in rows):
        told.append("† no better than the majority class in a language or more.")
    return " ".join(told)


def _unseen(rows: Sequence[Row]) -> Part:
    sizes = sorted({row["shots"] for row in rows})
    known = {(row["unseen"], row["strategy"], row["shots"]): row for row in rows}
    lines = dict.fromkeys((row["unseen"], row["strategy"]) for row in rows)
    headers = ["language", "strategy", *(f"k = {k}" for k in sizes)]
    body = [
        [code, strategy, *(_adapted(known.get((code, strategy, k))) for k in sizes)] for code, strategy in lines
    ]
    return Part("unseen", "On languages kept out of training", headers, body, _reading_unseen(rows))


def _adapted(row: Row | None) -> str:
    if row is None:
        return MISSING
    text = number(row["score"], "z.1f", 100)
    if row["seed_sd"] is not None:
        text += f" ± {number(row['seed_sd'], '.1f', 100)}"
    return Bold(text) if _better(row) else text


def _better(row: Row) -> bool:
    low = row["gain_over_plain_seeds_low"]
    return low is not None and bool(low > 0)


def _reading_unseen(rows: Sequence[Row]) -> str:
    told = [
        "Scores ×100 on the test set of a language of the one model of all the others, fine-tuned on k of its "
        "examples, the same for every strategy; k = 0: as it was trained."
    ]
    if any(row["unseen"] == MEAN for row in rows):
        told.append("mean: over the languages.")
    if any(row["seed_sd"] is not None for row in rows):
        told.append("Mean over seeds ± standard deviation.")
    if any(row["gain_over_plain_seeds_low"] is not None for row in rows):
        told.append(
            "Bold: better than plain, and the 95 % interval of the gain over seeds, paired and not adjusted for "
            "how many there are, excludes zero."
        )
    return " ".join(told)


_TOLD = {  # columns, shown where any row knows them
    "cosine": ("cosine",),
    "conflicting pairs": ("conflicts",),
    "corrected": ("corrected",),
    "kept heads / units": ("kept_heads", "kept_units"),
    "inner loss": ("inner_loss_before", "inner_loss_after"),
}
_SAID = {
    "cosine": "cosine: of two languages' gradients of the whole model, on average over steps.",
    "conflicting pairs": "conflicting pairs: share of those below zero.",
    "corrected": "corrected: share of pairs where the one's gradient was changed because of the other's.",
    "kept heads / units": "kept: share of the heads / units of a language's subnetwork, at the end.",
    "inner loss": "inner loss: of a language before → after the inner steps, on average along the training.",
}


def _told(rows: Sequence[Row]) -> Part:
    shown = {header: keys for header, keys in _TOLD.items() if any(_knows(row, keys) for row in rows)}
    body = [[row["strategy"], *(_cell(header, row, keys) for header, keys in shown.items())] for row in rows]
    reading = " ".join(["Of the training of one model of all languages.", *(_SAID[header] for header in shown)])
    return Part("seen", "What the strategies saw", ["strategy", *shown], body, reading)


def _knows(row: Mapping[str, object], keys: Sequence[str]) -> bool:
    return any(row[key] is not None for key in keys)


def _cell(header: str, row: Row, keys: Sequence[str]) -> str:
    if not _knows(row, keys):
        return MISSING
    if header == "cosine":
        return number(row["cosine"], "z.2f")
    if header == "inner loss":
        return " → ".join(number(row[key], ".2f") for key in keys)
    form = ".1f" if header.startswith("kept") else ".0f"
    return " / ".join(f"{number(row[key], form, 100)} %" for key in keys)


_PARTS = {"strategy": _trained, "unseen": _unseen, "training": _told}
