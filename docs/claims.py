"""What becomes of the claims in docs/claims.md: reads the records of its experiments, prints the verdicts.

    python docs/claims.py results

The rules stand in docs/claims.md and were fixed before anything was run. Random numbers have a fixed seed: the
same records give the same text.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
from claims_records import TASKS, UNSEEN, Missing, Tasks, load
from claims_rules import (
    CONFIRMED,
    PERMUTATIONS,
    REFUTED,
    UNDECIDED,
    Difference,
    both,
    correlated,
    differences,
    number,
    on_two,
    over_tasks,
    p_value,
    pairs_spearman,
    resampled,
    signed,
    smallest_correlation,
    table,
)

from leaderboard.comparison import holm, paired_difference
from leaderboard.differences import DRAWS
from leaderboard.mrqap import mrqap
from leaderboard.ranking import square
from leaderboard.resampling import qap_p

RIVALS = ("overlap[unit=subwords]", "typology", "embedding", "topic")
SIZES = ("16", "64", "256")
# Of claim 10: what the languages of T are relatives by, for those of N too. Arabic and Zulu have none there.
FAMILIES = ("bul ces pol rus ukr", "dan deu eng nld swe", "fra ita spa", "est fin hun", "aze kaz tur", "hin mar")
UNTESTABLE, NOT_RUN = "not testable here", "not run"


@dataclass(frozen=True)
class Finding:
    verdict: str
    lines: Sequence[str] = ()


def gains(tasks: Tasks) -> Finding:
    """Claim 1."""
    rows = {
        f"less `{rival}`": {at: tasks[at].score("gradsim") - tasks[at].score(rival) for at in TASKS}
        for rival in RIVALS
    }
    rows["less random partitions"] = {at: tasks[at].score("gradsim") - tasks[at].random("gradsim") for at in TASKS}
    found = [over_tasks(each.values()).interval(0.99) for each in rows.values()]
    confirmed, refuted = all(low > 0 for low, _ in found), any(high < 0 for _, high in found)
    return Finding(CONFIRMED if confirmed else REFUTED if refuted else UNDECIDED, differences(rows, level=0.99))


def foretold(tasks: Tasks) -> Finding:
    """Claim 2."""
    rows, above, below = [], [], []
    for at in TASKS:
        task = tasks[at]
        T, ours = square(np.array(task["gradsim"].transfer.test, dtype=np.float64)), task.similarity("gradsim")
        found = [paired_difference(ours, task.similarity(rival), T, True, DRAWS, seed=0) for rival in RIVALS]
        known = [one for one in found if one is not None]
        if len(known) < len(found):
            raise Missing(f"a correlation per target on {at}")
        adjusted = list(zip(known, holm([one.p for one in known]), strict=True))
        above.append(all(one.difference > 0 and p < 0.05 for one, p in adjusted))
        below.append(any(one.difference < 0 and p < 0.05 for one, p in adjusted))
        told = [f"{signed(one.difference, one.low, one.high)}, p {p_value(p)}" for one, p in adjusted]
        rows.append([at, *told])
    lines = table(["", *(f"less `{rival}`" for rival in RIVALS)], rows)
    return Finding(on_two(above, below), [*lines, "", "p: after Holm, of the four on a task."])


def topics(tasks: Tasks) -> Finding:
    """Claim 4."""
    found = {}
    for at in ("T", "A"):
        similar, topic, typology = map(tasks[at].similarity, ("gradsim", "topic", "typology"))
        found[at] = mrqap(topic, similar, {"typology": typology}, permutations=PERMUTATIONS, seed=0)
    known = [(one.coefficient, one.p) for one in found.values() if one.coefficient is not None]
    confirmed = [coefficient > 0 and p is not None and p < 0.05 for coefficient, p in known]
    word = UNDECIDED
    if len(known) == len(found):
        positive = any(coefficient > 0 for coefficient, _ in known)
        word = CONFIRMED if all(confirmed) else UNDECIDED if positive else REFUTED
    rows = [[at, number(one.coefficient), p_value(one.p)] for at, one in found.items()]
    return Finding(word, table(["", "coefficient of `topic`", "p (MRQAP)"], rows))


def layers(tasks: Tasks) -> Finding:
    """Claim 5."""
    rows, above, below = [], [], []
    for at in TASKS:
        typology, first, second = tasks[at].similarity("typology"), tasks[at].layer(0), tasks[at].layer(1)
        each = [pairs_spearman(typology, layer) for layer in (first, second)]
        drawn = [resampled(partial(pairs_spearman, typology, layer), len(typology)) for layer in (first, second)]
        low, high = np.nanpercentile(drawn[0] - drawn[1], [2.5, 97.5])
        told = "–" if each[0] is None or each[1] is None else signed(each[0] - each[1], low, high)
        rows.append([at, *map(number, each), told])
        above.append(bool(low > 0))
        below.append(bool(high < 0))
    lines = table(["", "ρ of the first layer", "ρ of the second", "difference"], rows)
    return Finding(on_two(above, below), lines)


def proximity(tasks: Tasks) -> Finding:
    """Claim 6."""
    rows, above, below = [], [], []
    for at in TASKS:
        typology, cosines = tasks[at].similarity("typology"), tasks[at].mean_cosines()
        found, p = pairs_spearman(typology, cosines), qap_p(typology, cosines, PERMUTATIONS, seed=0)
        if found is None or p is None:
            raise Missing(f"a correlation over pairs on {at}")
        drawn = resampled(partial(pairs_spearman, typology, cosines), len(typology))
        low, high = np.nanpercentile(drawn, [2.5, 97.5])
        rows.append([at, signed(found, low, high), p_value(p)])
        above.append(found > 0 and p < 0.05)
        below.append(bool(high < 0.1))
    return Finding(on_two(above, below), table(["", "ρ over pairs", "p (QAP)"], rows))


def performance(tasks: Tasks) -> Finding:
    """Claim 7."""
    rows, above, below = [], [], []
    for at in TASKS:
        joint, cosines = tasks[at].joint_gains(), tasks[at].mean_cosines()
        np.fill_diagonal(cosines, np.nan)
        with_others = dict(zip(tasks[at]["joint@watched"].languages, np.nanmean(cosines, axis=1), strict=True))
        found, p = correlated(
            np.array([with_others[code] for code in joint]), np.array([joint[code].mean() for code in joint])
        )
        rows.append([at, f"{number(found)} ({smallest_correlation(len(joint)):.2f})", p_value(p)])
        above.append(found > 0 and p < 0.05)
        below.append(found < 0 and p < 0.05)
    return Finding(on_two(above, below), table(["", "ρ over languages", "p"], rows))


def vaccine(tasks: Tasks) -> Finding:
    """Claim 8."""
    names = {
        "`gradvac` less `plain`": "joint@gradvac",
        "β = .5 less `plain`": "joint@gradvac[beta=0.5]",
        "`gradvac` less `plain` in GradSim's groups": "gradsim@gradvac",
        "β = .5 less `plain` in GradSim's groups": "gradsim@gradvac[beta=0.5]",
    }
    rows = {told: {at: tasks[at].over_plain(name) for at in TASKS} for told, name in names.items()}
    jointly = next(iter(rows.values()))
    return Finding(over_tasks(jointly.values()).verdict(), differences(rows))


def surgery(tasks: Tasks) -> Finding:
    """Claim 9."""
    rows = {
        "pairs corrected: `gradvac` less `pcgrad`": {
            at: 100 * (tasks[at].numbers("gradvac", "corrected") - tasks[at].numbers("pcgrad", "corrected"))
            for at in TASKS
        },
        "score: `gradvac` less `pcgrad`": {at: tasks[at].less("joint@gradvac", "joint@pcgrad") for at in TASKS},
    }
    return Finding(both([over_tasks(each.values()).verdict() for each in rows.values()]), differences(rows))


def aligned(tasks: Tasks) -> Finding:
    """Claim 10."""
    rows, lines = {}, []
    for at in ("N", "T"):
        codes, cosines = tasks[at]["joint@watched"].languages, tasks[at].cosines("watched")
        pairs = [pair for family in FAMILIES for pair in combinations(sorted(set(family.split()) & {*codes}), 2)]
        if not pairs:
            raise Missing(f"pairs of one family on {at}")
        first, second = np.array([[codes.index(code) for code in pair] for pair in pairs]).T
        rows[at] = 100 * (tasks[at].cosines("gradvac") - cosines)[:, first, second].mean(axis=1)
        told = ", ".join(map("–".join, pairs))
        lines += ["", f"Pairs of one family on {at}: {told}."]
    found = differences({"100 × cosine: `gradvac` less `watched`": rows})
    return Finding(over_tasks(rows.values()).verdict(), [*found, *lines])


def hindered(tasks: Tasks) -> Finding:
    """Claim 12."""
    from scipy.stats import ttest_1samp

    found: list[tuple[float, str, float]] = []  # gain, of which language, p
    for at in TASKS:
        for code, values in tasks[at].joint_gains().items():
            p = float(ttest_1samp(values, 0.0).pvalue) if np.ptp(values) > 0 else float(values[0] == 0)
            found.append((float(values.mean()), f"{code} ({at})", p))
    found.sort()
    each = [(*one, q) for one, q in zip(found, holm([p for _, _, p in found]), strict=True)]
    lose = [one for one in each if one[0] < 0 and one[3] < 0.05]
    word = CONFIRMED if performance(tasks).verdict != REFUTED and lose else UNDECIDED
    rows = [[where, f"{gain:+z.2f}", p_value(p), p_value(q)] for gain, where, p, q in (lose or each[:5])]
    less = sum(gain < 0 for gain, *_ in each)
    told = (
        f"{less} of {len(each)} languages lose by joint training on average, {len(lose)} with p < .05 after Holm."
    )
    return Finding(word, [*table(["", "gain", "p", "after Holm"], rows), "", told])


def conflicts(tasks: Tasks) -> Finding:
    """Claim 13."""
    rows = {}
    for at in TASKS:
        kinds = ("watched", "subnet-random[watch=true]", "subnet-static[watch=true]")
        whole, by_chance, own = (tasks[at].numbers(kind, "depth") for kind in kinds)
        if not whole.all():
            raise Missing(f"conflicts under watched on {at}")
        rows[at] = 100 * (by_chance - own) / whole
    name = "hundredths of the depth under `watched`: `subnet-random` less `subnet-static`"
    return Finding(over_tasks(rows.values()).verdict(10.0), differences({name: rows}, 10.0))


def static(tasks: Tasks) -> Finding:
    """Claim 14."""
    own, by_chance = "joint@subnet-static", "joint@subnet-random"
    rows = {
        "`subnet-static` less `plain`": {at: tasks[at].over_plain(own) for at in TASKS},
        "`subnet-static` less `subnet-random`": {at: tasks[at].less(own, by_chance) for at in TASKS},
    }
    return Finding(both([over_tasks(each.values()).verdict() for each in rows.values()]), differences(rows))


def dynamic(tasks: Tasks) -> Finding:
    """Claim 15."""
    rows = {at: tasks[at].over_plain("joint@subnet-dynamic") for at in TASKS}
    return Finding(over_tasks(rows.values()).verdict(), differences({"`subnet-dynamic` less `plain`": rows}))


def few_shots(tasks: Tasks) -> Finding:
    """Claim 16."""
    task = tasks[UNSEEN.format("T")]
    pairs = {
        "`meta[masks=static]` less `meta`": ("joint@meta[masks=static]", "joint@meta"),
        "`meta[masks=dynamic]` less `meta`": ("joint@meta[masks=dynamic]", "joint@meta"),
        "`meta` less `plain`": ("joint@meta", "joint"),
    }
    rows = {
        f"{name}{told}": {"T": task.adapted(one, sizes) - task.adapted(other, sizes)}
        for told, sizes in (("", SIZES), (", no examples", ("0",)))
        for name, (one, other) in pairs.items()
    }
    found = [Difference(each["T"]) for each in [*rows.values()][:2]]
    confirmed = any(one.interval(0.975)[0] > 0 for one in found)
    refuted = all(one.verdict() == REFUTED for one in found)
    word = CONFIRMED if confirmed else REFUTED if refuted else UNDECIDED
    return Finding(word, differences(rows, level=0.975))


def untestable(_: Tasks) -> Finding:
    return Finding(UNTESTABLE)


CLAIMS: dict[int, Callable[[Tasks], Finding]] = {
    1: gains, 2: foretold, 3: untestable, 4: topics, 5: layers,
    6: proximity, 7: performance, 8: vaccine, 9: surgery, 10: aligned, 11: untestable,
    12: hindered, 13: conflicts, 14: static, 15: dynamic, 16: few_shots,
}  # fmt: skip


def judge(tasks: Tasks) -> dict[int, Finding]:
    """By number; a claim whose records are missing is not run."""
    found = {}
    for claim, judged in CLAIMS.items():
        try:
            found[claim] = judged(tasks)
        except Missing as missing:
            found[claim] = Finding(NOT_RUN, [f"Missing: {missing}."])
    return found


def wording() -> dict[int, str]:
    """The claims as docs/claims.md has them."""
    text = (Path(__file__).parent / "claims.md").read_text("utf8")
    found = re.findall(r"^(\d+)\. \*(.+?)\*", text, flags=re.MULTILINE | re.DOTALL)
    return {int(claim): " ".join(words.split()).rstrip(".") for claim, words in found}


def report(found: Mapping[int, Finding]) -> str:
    words, lines = wording(), ["## Verdicts", ""]
    for word in (CONFIRMED, REFUTED, UNDECIDED, UNTESTABLE, NOT_RUN):
        claims = [str(claim) for claim, one in found.items() if one.verdict == word]
        lines += [f"- {word.capitalize()}: {', '.join(claims) or 'none'}."]
    lines += [
        "",
        "Differences are means over the seeds with their 95 % interval, in points where nothing else is said; in",
        "brackets what would have been found with a chance of 80 %. Over tasks: of each seed's mean.",
    ]
    for claim, one in found.items():
        lines += ["", f"### {claim}. {words[claim]}: {one.verdict}"]
        lines += ["", *one.lines] if one.lines else []
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    try:
        print(report(judge(load(Path(sys.argv[1] if len(sys.argv) > 1 else "results")))), end="")
    except ValueError as error:
        sys.exit(str(error))
