"""A learned combination of other measures, in the manner of LangRank, leaving one target out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from measures.base import Evidence, Matrix, Measure, MeasureError, SimilarityMatrix
from measures.needs import Needs
from tasks.base import TaskSpec
from tasks.languages import Language

Features = NDArray[np.float64]  # [source, target, 2k]: k measures' cells, then their ranks
LANGRANK = (
    "overlap+overlap[unit=subwords]+ttr+size-ratio+family+typology[features=geography]"
    "+typology[features=inventory]+typology+typology[features=phonology]"
)
SEES_TRANSFER = ("oracle", "source-quality", "combined")
TREES, DEPTH, RATE, LEAF, RIDGE, SHARE = 100, 2, 0.05, 10, 1.0, 0.5
FEWEST = 6  # languages: with one left out, 5 × 4 pairs fill the two leaves of a split
SHUFFLES = 8


class Combined(Measure):
    """Gradient-boosted ranking of sources by other measures, learned from transfer to other targets.

    In the manner of LangRank (Lin et al., ACL 2019), always leaving one target out. For each target
    t all transfer to and from t is hidden; the model learns from every other target t' and source
    s ∉ {t, t'} with known transfer to predict the rank of T[s, t'] among the sources of t', and is
    then asked for column t. Ranks are (rank − ½) / number: 0 the worst, 1 the best; only the order
    within a column of the answer has a meaning. Features: the cell [s, t'] of each of the
    ``measures``, and its rank among the sources of t', which takes out what the target alone decides.

    LangRank optimises LambdaRank; here the rank itself is regressed (pointwise), with squared error:
    100 trees of depth at most 2, 10 pairs or more in a leaf, learning rate 0.05, half of the features
    tried at each split. A cell that a measure does not know goes to the better side of a split.

    ``measures``: names joined with ``+``; LangRank's features if not given. None of them may see transfer.
    Contributions: the mean square by which the prediction for the sources of the hidden target changes
    when a measure's values are shuffled among them, over all targets, as shares of the sum (of an
    additive model: the share of the variance). They say what the prediction rests on, not that it is
    right; measures that agree divide their share by chance; all are 0 where nothing was learned.

    NaN where no measure knows the cell, and in the row of a language that is a target only. The
    diagonal is the best of its column.
    """

    name = "combined"
    symmetric = False
    access = "transfer"

    def __init__(self, measures: str = LANGRANK) -> None:
        self.measures = measures

    def needs(self) -> Needs:
        return Needs(measures=components(self.measures), transfer=True)

    def skip(self, task: TaskSpec, languages: tuple[Language, ...]) -> str | None:
        if len(languages) < FEWEST:
            return f"learning from other targets takes at least {FEWEST} languages, found {len(languages)}"
        return None

    def similarity(self, evidence: Evidence) -> SimilarityMatrix:
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        names, features, notes = _features(evidence, components(self.measures))
        languages, n = evidence.languages, len(evidence.languages)
        # Sums over the rows of the table are taken in the order of the codes, whatever that of the languages.
        order = np.array(sorted(range(n), key=lambda at: languages[at]))
        features = features[np.ix_(order, order)]
        values, moved = np.full((n, n), np.nan), np.zeros(len(names))
        with threadpool_limits(limits=1):  # on so small a table threads cost more than they save
            for t in range(n):
                hidden = languages[order[t]]
                transfer = evidence.transfer(without=hidden).values[np.ix_(order, order)]
                seed = _seed(evidence.seed, hidden)
                values[:, t], by = _column(features, transfer, t, seed)
                moved += by
        if not np.isfinite(values).any():
            raise MeasureError(
                "combined learns from targets with at least two sources whose transfer is known, found none"
            )
        lost = [str(languages[order[t]]) for t in range(n) if not np.isfinite(values[:, t]).any()]
        if lost:
            notes.append(f"nothing could be learned or known for the targets {', '.join(lost)}")
        shares = moved / moved.sum() if moved.sum() > 0 else moved
        contributions = dict(zip(names, map(float, shares), strict=True))
        notes.append(_told(contributions))
        back = np.argsort(order)
        values = values[np.ix_(back, back)]
        known = np.isfinite(features[:, :, : len(names)]).mean(axis=2)[np.ix_(back, back)]
        coverage = np.where(np.isfinite(values), known, 0.0)
        return SimilarityMatrix(languages, values, coverage, tuple(notes), contributions=contributions)


def split_outside(text: str, separator: str) -> list[str]:
    """The parts of ``text`` between separators that stand outside square brackets.

    Raises:
        ValueError: brackets that do not balance.
    """
    parts, depth = [""], 0
    for letter in text:
        depth += (letter == "[") - (letter == "]")
        if depth < 0:
            break
        if letter == separator and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    if depth:
        raise ValueError(f"brackets must balance, found {text!r}")
    return parts


def components(measures: str) -> tuple[str, ...]:
    """The measures that are combined, as they are asked for.

    Raises:
        MeasureError: none, one that is empty or given twice, one that sees transfer, or brackets
            that do not balance.
    """
    try:
        parts = tuple(part.strip() for part in split_outside(measures, "+"))
    except ValueError as error:
        raise MeasureError(f"measures: {error}") from None
    if not all(parts):
        raise MeasureError(f"measures must be one name or several joined with +, found {measures!r}")
    for at, part in enumerate(parts):
        if part in parts[:at]:
            raise MeasureError(f"measures must differ from each other, found {part!r} twice")
        if part.partition("[")[0].strip() in SEES_TRANSFER:
            raise MeasureError(
                f"measures may not see transfer, which is to be predicted "
                f"(not {', '.join(SEES_TRANSFER)}), found {part!r}"
            )
    return parts


def _features(evidence: Evidence, asked: Sequence[str]) -> tuple[list[str], Features, list[str]]:
    """The names of the measures that answer, their cells and ranks, and a note for each that does not."""
    names: list[str] = []
    notes: list[str] = []
    cells: list[Matrix] = []
    ranks: list[Matrix] = []
    off = ~np.eye(len(evidence.languages), dtype=bool)
    for name in asked:
        try:
            values = evidence.similarity(name).values
        except MeasureError as error:
            notes.append(f"{name} is left out: {error}")
            continue
        size = np.abs(values[off & np.isfinite(values)])
        if not size.size:
            notes.append(f"{name} is left out: it knows no pair of languages")
            continue
        # Values that are equal but for rounding must not be told apart by a split.
        scale = float(size.max()) or 1.0
        names.append(name)
        cells.append(np.round(values / scale, 9))
        ranks.append(_ranks(cells[-1], np.isfinite(values) & off))
    if not cells:
        raise MeasureError(f"combined needs at least one measure that answers, found none: {'; '.join(notes)}")
    return names, np.stack(cells + ranks, axis=2), notes


def _seed(seed: int, hidden: Language) -> int:
    digest = hashlib.sha256(f"{seed}|combined|{hidden}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def _column(features: Features, transfer: Matrix, t: int, seed: int) -> tuple[Matrix, Matrix]:
    """Predictions for column t, and by how much each measure's shuffling moves them.

    ``transfer`` hides t.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor

    n, _, k = features.shape
    column = np.full(n, np.nan)
    known = np.isfinite(features).max(axis=2)
    off = ~np.eye(n, dtype=bool)
    pairs = np.isfinite(transfer) & off
    labels = _ranks(transfer, pairs)
    rows = (pairs & known).T  # target by target
    asked = pairs.any(axis=1) & known[:, t]  # never t: its row is hidden
    if not (rows.sum(axis=1) > 1).any() or not asked.any():
        return column, np.zeros(k // 2)
    model = HistGradientBoostingRegressor(
        learning_rate=RATE, max_iter=TREES, max_depth=DEPTH, max_leaf_nodes=None, min_samples_leaf=LEAF,
        l2_regularization=RIDGE, max_features=SHARE, early_stopping=False, random_state=seed,
    )  # fmt: skip
    model.fit(features.transpose(1, 0, 2)[rows], labels.T[rows])
    table = features[asked, t]
    column[asked] = model.predict(table)
    column[t] = column[asked].max()
    return column, _moved(model.predict, table, seed)


def _ranks(values: Matrix, pairs: NDArray[np.bool_]) -> Matrix:
    """(Rank − ½) / number among the sources of each target that are ``pairs``; ties share their mean rank."""
    from scipy.stats import rankdata

    ranks = np.full(values.shape, np.nan)
    for target, seen in enumerate(pairs.T):
        if seen.any():
            ranks[seen, target] = (rankdata(values[seen, target]) - 0.5) / seen.sum()
    return ranks


def _moved(predict: Callable[[Matrix], Matrix], table: Matrix, seed: int) -> Matrix:
    """Mean square of the change of the predictions when a measure's values change places, per measure."""
    rng = np.random.default_rng(seed)
    sources, k = len(table), table.shape[1] // 2
    shuffled = np.tile(table, (SHUFFLES, k, 1, 1))
    for again in range(SHUFFLES):
        places = rng.permutation(sources)
        for part in range(k):
            shuffled[again, part, :, part::k] = table[places, part::k]  # the cell, and its rank with it
    answers = predict(shuffled.reshape(-1, 2 * k)).reshape(SHUFFLES, k, sources)
    change: Matrix = ((answers - predict(table)) ** 2).mean(axis=(0, 2))
    return change


def _told(contributions: Mapping[str, float]) -> str:
    if not any(contributions.values()):
        return "nothing was learned: the prediction does not depend on any measure"
    largest = sorted(contributions.items(), key=lambda one: (-one[1], one[0]))
    return "shares of the prediction: " + ", ".join(f"{name} {share:.2f}" for name, share in largest)
