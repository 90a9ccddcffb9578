"""Are the leaderboard's tests and intervals as good as they say? Prints the tables of docs/statistics.md.

    python docs/simulations.py

Languages are made up, so that it is known what S and T share. Every data set has its own seed; the
same numbers come out each time. In brackets: standard errors, from the number of data sets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from leaderboard.comparison import paired_difference
from leaderboard.mrqap import mrqap
from leaderboard.ranking import centre, per_target_spearman
from leaderboard.resampling import node_bootstrap_interval, qap_p

Matrix = NDArray[np.float64]
Rng = np.random.Generator
Pair = tuple[Matrix, Matrix, dict[str, Matrix]]  # S, T, the controls of MRQAP

SETS = 400  # data sets of a rejection rate or a coverage
PERMUTATIONS = 199
DRAWS = 400
FAMILY = 4  # languages in a family, on average


def noise(rng: Rng, n: int, sd: float = 1.0) -> Matrix:
    return sd * rng.normal(size=(n, n))


def sources(rng: Rng, n: int) -> Matrix:
    return rng.normal(size=(n, 1))


def targets(rng: Rng, n: int) -> Matrix:
    return rng.normal(size=(1, n))


def families(rng: Rng, n: int) -> NDArray[np.int64]:
    return rng.permutation(np.arange(n) % (n // FAMILY))


def same(family: NDArray[np.int64]) -> Matrix:
    shared: Matrix = (family[:, None] == family[None, :]).astype(np.float64)
    return shared


def near(traits: Matrix) -> Matrix:
    """How near languages are by their traits ``[n, traits]``, in standard deviations."""
    distance = np.linalg.norm(traits[:, None] - traits[None, :], axis=2)
    result: Matrix = -(distance - distance.mean()) / distance.std()
    return result


# --- What S and T share, by kind ----------------------------------------------------------------


def cells_only(rng: Rng, n: int) -> Pair:
    return noise(rng, n), noise(rng, n), {}


def effects(rng: Rng, n: int) -> Pair:
    S, T = (2 * sources(rng, n) + 2 * targets(rng, n) + noise(rng, n) for _ in range(2))
    return S, T, {}


def traits(rng: Rng, n: int) -> Pair:
    S, T = (2 * near(rng.normal(size=(n, 2))) + sources(rng, n) + noise(rng, n, 0.5) for _ in range(2))
    return S, T, {}


def quality(rng: Rng, n: int) -> Pair:
    good = sources(rng, n)
    return good + noise(rng, n), good + targets(rng, n) + noise(rng, n), {}


def family(rng: Rng, n: int) -> Pair:
    control = same(families(rng, n))
    S, T = (control + noise(rng, n) for _ in range(2))
    return S, T + sources(rng, n) + targets(rng, n), {"family": control}


def both(rng: Rng, n: int, sd: float = 1.0) -> Pair:
    good, control = sources(rng, n), same(families(rng, n))
    S, T = (2 * control + good + noise(rng, n, sd) for _ in range(2))
    return S, T + targets(rng, n), {"family": control}


def both_clear(rng: Rng, n: int) -> Pair:
    return both(rng, n, 0.5)


def uneven(rng: Rng, n: int) -> Pair:
    """How close the members of a family are differs between families: more than "same family" says."""
    one = families(rng, n)
    strength = (2 * rng.random(n))[one][:, None]
    S, T = (2 * same(one) * strength + noise(rng, n) for _ in range(2))
    return S, T + sources(rng, n) + targets(rng, n), {"family": same(one)}


def more(rng: Rng, n: int) -> Pair:
    good, control, own = sources(rng, n), same(families(rng, n)), noise(rng, n)
    S = 2 * control + good + 0.3 * own + noise(rng, n)
    return S, 2 * control + good + targets(rng, n) + own, {"family": control}


# --- Tables --------------------------------------------------------------------------------------


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    for line in (headers, [":--"] * len(headers), *rows):
        print(f"| {' | '.join(line)} |")
    print(flush=True)


def rate(events: Sequence[bool]) -> str:
    """In percent, with its standard error."""
    share = float(np.mean(events))
    return f"{100 * share:.1f} ({100 * np.sqrt(share * (1 - share) / len(events)):.1f})"


def rejections(make: Callable[[Rng, int], Pair], n: int, label: int) -> list[str]:
    """How often each test rejects at 5 %: the last one only where there are controls."""
    found: list[list[bool]] = [[], [], [], [], []]
    for i in range(SETS):
        S, T, controls = make(np.random.default_rng([label, n, i]), n)
        p = [
            qap_p(S, T, PERMUTATIONS, i),
            qap_p(S, T, PERMUTATIONS, i, "per-target"),
            qap_p(S, T, PERMUTATIONS, i, "per-target", centred=True),
            mrqap(S, T, {}, permutations=PERMUTATIONS, seed=i).p,
        ]
        if controls:
            p.append(mrqap(S, T, controls, permutations=PERMUTATIONS, seed=i).p)
        for column, value in zip(found, p, strict=False):
            column.append(value is not None and value <= 0.05)
    return [rate(column) if column else "–" for column in found]


def levels() -> None:
    headers = ["S and T", "n", "QAP matrix", "QAP per target", "QAP centred", "MRQAP", "MRQAP given family"]
    kinds: dict[str, Callable[[Rng, int], Pair]] = {
        "independent cells": cells_only,
        "independent, strong sources and targets": effects,
        "independent, each with its own near and far": traits,
    }
    print(f"### S independent of T: how often a test rejects at 5 %, in percent, {SETS} data sets\n")
    rows = [[name, str(n), *rejections(make, n, 1)[:4]] for name, make in kinds.items() for n in (12, 20, 50)]
    table(headers[:6], rows)
    kinds = {
        "source quality": quality,
        "family": family,
        "source quality and family": both,
        "the same with half the noise": both_clear,
        "family, of uneven strength": uneven,
        "source quality, family, and more": more,
    }
    print(f"### What S and T share: how often a test rejects at 5 %, in percent, {SETS} data sets\n")
    table(headers, [[name, str(n), *rejections(make, n, 2)] for name, make in kinds.items() for n in (12, 20)])


def foretold(rng: Rng, n: int, clustered: bool, measures: int = 1) -> list[Matrix]:
    """T, and measures of the traits that transfer depends on, all equally good."""
    own, good = rng.normal(size=(n, 3)), rng.normal(size=n)
    if clustered:
        one = rng.integers(n // FAMILY, size=n)
        own = rng.normal(size=(n, 3))[one] + 0.4 * own
        good = rng.normal(size=n)[one] + 0.4 * good
    T = near(own) + good[:, None] + targets(rng, n) + noise(rng, n, 0.5)
    return [T, *(near(own + 0.7 * rng.normal(size=(n, 3))) + noise(rng, n, 0.3) for _ in range(measures))]


def coverage() -> None:
    print(f"### How often the 95 % interval holds the expected value, in percent, {SETS} data sets\n")
    rows = []
    for clustered in (False, True):
        for n in (12, 20, 50):
            cells = ["in families" if clustered else "independent", str(n)]
            for centred in (False, True):
                many = (foretold(np.random.default_rng([3, n, i]), n, clustered) for i in range(4 * SETS))
                expected = np.mean([per_target_spearman(S, T, centred) or 0.0 for T, S in many])
                inside, widths = [], []
                for i in range(SETS):
                    T, S = foretold(np.random.default_rng([4, n, i]), n, clustered)
                    interval = node_bootstrap_interval(S, T, centred, DRAWS, i)
                    if interval is not None:
                        inside.append(bool(interval[0] <= expected <= interval[1]))
                        widths.append(interval[1] - interval[0])
                cells += [rate(inside), f"{np.mean(widths):.2f}", f"{expected:.2f}"]
            rows.append(cells)
    table(["languages", "n", "raw", "width", "expected", "centred", "width", "expected"], rows)


def differences() -> None:
    print(f"### Two equally good measures: how often their difference excludes 0, in percent, {SETS} data sets\n")
    rows = []
    for clustered in (False, True):
        for n in (12, 20, 50):
            cells = ["in families" if clustered else "independent", str(n)]
            for centred in (False, True):
                false = []
                for i in range(SETS):
                    T, a, b = foretold(np.random.default_rng([5, n, i]), n, clustered, 2)
                    found = paired_difference(a, b, T, centred, DRAWS, i)
                    false.append(found is not None and found.p <= 0.05)
                cells.append(rate(false))
            rows.append(cells)
    table(["languages", "n", "raw", "centred"], rows)


def detectable() -> None:
    sets = SETS // 2
    print(f"### The smallest correlation found with power .8, {sets} data sets at each of 9 strengths\n")
    rows = []
    for by_trait in (False, True):
        for n in (12, 20, 50):
            strengths = np.linspace(0, 0.9, 9) * 12 / n
            hits, values = np.zeros((2, len(strengths), sets))
            for k, strength in enumerate(strengths):
                for i in range(sets):
                    rng = np.random.default_rng([6, n, k, i])
                    known, unknown = (
                        near(rng.normal(size=(n, 2))) if by_trait else noise(rng, n) for _ in range(2)
                    )
                    T = strength * known + np.sqrt(1 - strength**2) * unknown
                    S, T = centre(known), centre(T)
                    values[k, i] = per_target_spearman(S, T) or 0.0
                    p = qap_p(S, T, PERMUTATIONS, i, "per-target")
                    hits[k, i] = p is not None and p <= 0.05
            found = _crossing(hits, values)
            rng = np.random.default_rng(7)
            again = [_crossing(hits[:, w], values[:, w]) for w in rng.integers(sets, size=(200, sets))]
            kind = "near and far by traits" if by_trait else "every cell for itself"
            rows.append([kind, str(n), f"{found:.2f} ({np.std(again):.3f})"])
    table(["S and T", "n", "centred correlation"], rows)


def _crossing(hits: Matrix, values: Matrix) -> float:
    """The mean statistic where the power, made monotone, reaches .8."""
    power = np.maximum.accumulate(hits.mean(axis=1))
    if power[-1] < 0.8:
        return float("nan")
    above = int(np.argmax(power >= 0.8))
    share = (0.8 - power[above - 1]) / (power[above] - power[above - 1])
    means = values.mean(axis=1)
    return float(means[above - 1] + share * (means[above] - means[above - 1]))


if __name__ == "__main__":
    levels()
    coverage()
    differences()
    detectable()
