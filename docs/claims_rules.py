"""The rules of docs/claims.md: differences by seed, correlations over languages, and their tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from leaderboard.differences import DRAWS
from leaderboard.ranking import Matrix, Vector, matrix_spearman, midranks, pearson
from leaderboard.resampling import permutation_p, seed_interval

MATTERS = 0.5  # points: the smallest gain that is held to matter
PERMUTATIONS = 9999
CONFIRMED, REFUTED, UNDECIDED = "confirmed", "refuted", "undecided"

Places = NDArray[np.int64]
Rows = Mapping[str, Mapping[str, Vector]]  # differences by seed, by what they are of and by task


@dataclass(frozen=True)
class Difference:
    """Of two trainings, seed by seed."""

    values: Vector

    @property
    def mean(self) -> float:
        return float(np.mean(self.values))

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        found = seed_interval(self.values.tolist())
        assert found is not None
        half = (found[1] - found[0]) / 2 * self._t(0.5 + level / 2) / self._t(0.975)
        return self.mean - half, self.mean + half

    @property
    def detectable(self) -> float:
        """The smallest that would have been found at 95 % with a chance of 80 %."""
        spread = float(np.std(self.values, ddof=1)) / np.sqrt(len(self.values))
        return float((self._t(0.975) + self._t(0.8)) * spread)

    def verdict(self, matters: float = MATTERS) -> str:
        low, high = self.interval()
        return CONFIRMED if low > 0 else REFUTED if high < matters else UNDECIDED

    def _t(self, quantile: float) -> float:
        from scipy.stats import t

        return float(t.ppf(quantile, len(self.values) - 1))


def over_tasks(each: Iterable[Vector]) -> Difference:
    """The tasks are fixed: of each seed the mean over them."""
    return Difference(np.asarray(np.mean([*each], axis=0)))


def both(words: Sequence[str]) -> str:
    """Confirmed where all are, refuted where one is."""
    if all(word == CONFIRMED for word in words):
        return CONFIRMED
    return REFUTED if REFUTED in words else UNDECIDED


def on_two(confirming: Sequence[bool], refuting: Sequence[bool]) -> str:
    """Of three tasks."""
    return CONFIRMED if sum(confirming) >= 2 else REFUTED if sum(refuting) >= 2 else UNDECIDED


def resampled(statistic: Callable[[Places], float | None], languages: int) -> Vector:
    """Values of a statistic of the places of languages that are drawn with replacement, NaN where it has none."""
    rng = np.random.default_rng(0)
    drawn = [statistic(rng.integers(languages, size=languages)) for _ in range(DRAWS)]
    return np.array(drawn, dtype=np.float64)


def pairs_spearman(S: Matrix, T: Matrix, places: Places | None = None) -> float | None:
    """Over pairs of languages, as often as their places are there; no language is paired with its own copy."""
    if places is None:
        return matrix_spearman(S, T)
    drawn = T[np.ix_(places, places)]
    drawn[places[:, None] == places[None, :]] = np.nan
    return matrix_spearman(S[np.ix_(places, places)], drawn)


def correlated(x: Vector, y: Vector) -> tuple[float, float]:
    """Spearman's ρ over languages, and its two-sided p by permuting them."""
    a, b = (midranks(values) - (len(values) + 1) / 2 for values in (x, y))
    found, scale = pearson(a, b) or 0.0, np.linalg.norm(a) * np.linalg.norm(b)
    orders = np.random.default_rng(0).permuted(np.tile(b, (PERMUTATIONS, 1)), axis=1)
    return found, permutation_p(abs(found), np.abs(orders @ a) / max(scale, 1e-12))


def smallest_correlation(languages: int) -> float:
    """Spearman's ρ that would have been found at 95 % with a chance of 80 %, by Fisher's z with the standard
    error of Fieller, Hartley and Pearson (1957)."""
    from scipy.stats import norm

    return float(np.tanh((norm.ppf(0.975) + norm.ppf(0.8)) * np.sqrt(1.06 / (languages - 3))))


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(line)} |" for line in (headers, [":--"] * len(headers), *rows)]


def signed(value: float, low: float, high: float) -> str:
    """With its interval."""
    return f"{value:+z.2f} [{low:+z.2f}, {high:+z.2f}]"


def number(value: float | None) -> str:
    return "–" if value is None else f"{value:z.2f}"


def p_value(p: float | None) -> str:
    return "–" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def differences(rows: Rows, matters: float = MATTERS, level: float = 0.95) -> list[str]:
    """A table of differences, behind each the smallest that would have been found, and what each is by the rule;
    where the rule asks for another level, its interval instead."""
    letters = list(dict.fromkeys(letter for each in rows.values() for letter in each))
    lines = []
    for name, each in rows.items():
        found = [Difference(each[letter]) for letter in letters]
        found += [over_tasks(each.values())] * (len(letters) > 1)
        told = [f"{signed(one.mean, *one.interval())} ({one.detectable:.2f})" for one in found]
        last = signed(found[-1].mean, *found[-1].interval(level)) if level != 0.95 else found[-1].verdict(matters)
        lines.append([name, *told, last])
    headers = ["", *letters, *["over tasks"] * (len(letters) > 1)]
    return table([*headers, f"at {100 * level:g} %" if level != 0.95 else "by the rule"], lines)
