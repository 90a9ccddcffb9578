"""What a person should know of data that is well-formed: in words, with counts, a line for each matter."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from benchmark.config import PRESETS
from benchmark.data_checks import MANY_BYTES, MANY_TOKENS, Figures, half_width
from tasks.base import SPLITS, Split, TaskSpec

SMALL = 100  # held-out examples: with fewer, no difference between measures can be seen
RARE, LONG, NEARLY_ALL = 0.01, 0.01, 0.9
_LISTED = 12
_SOURCES = 3  # languages with training data that a run needs

Said = tuple[float, str]  # how much there is of it (0: nothing to say), and what to say


@dataclass(frozen=True)
class Checked:
    """What was counted of one language.

    ``repaired``: sentences whose IOB2 tags were, by split. ``broken``: splits with errors, whose figures are of
    what could be read. ``differing``: of a parallel task, another language and how many labels are not those of
    its same lines, by split.
    """

    code: str
    name: str
    folder: str
    splits: Mapping[Split, Figures]
    repaired: Mapping[Split, int] = field(default_factory=dict)
    broken: frozenset[Split] = frozenset()
    differing: Mapping[Split, tuple[str, int]] = field(default_factory=dict)


def warnings(spec: TaskSpec, languages: Sequence[Checked]) -> list[str]:
    """One line for each matter, with the languages that it is about."""
    found: list[str] = []
    for look in (_copies, _inside, _labels, _sizes, _lengths, _parallel):
        found += look(spec, languages)
    return found


def _copies(spec: TaskSpec, languages: Sequence[Checked]) -> Iterator[str]:
    for split in SPLITS[1:]:
        told = _told(languages, split, _copied)
        if told:
            yield f"{split} examples that are also in train, where a score says little of new text: {told}"


def _copied(of: Figures) -> Said:
    other = f"{of.otherwise} with another label" if of.otherwise else ""
    return _part(of.in_train or 0, of.examples, more=other)


def _inside(spec: TaskSpec, languages: Sequence[Checked]) -> Iterator[str]:
    for split in SPLITS:
        told = _told(languages, split, lambda of: _part(of.repeated, of.examples))
        if told:
            yield f"{split} examples that repeat an earlier one: {told}"
    for split in SPLITS:
        told = _told(languages, split, lambda of: (of.conflicting, f"{of.conflicting}"))
        if told:
            yield f"texts that {split} has with different {'tags' if spec.kind == 'tagged' else 'labels'}: {told}"
    for split in SPLITS:
        some = [f"{one.code} {one.repaired[split]}" for one in languages if one.repaired.get(split)]
        if some:
            yield f"{split} sentences with an I- tag that continues no span, which is read as B-: {_listed(some)}"


def _labels(spec: TaskSpec, languages: Sequence[Checked]) -> Iterator[str]:
    total = [
        sum(of.labels[at] for one in languages for of in one.splits.values()) for at in range(len(spec.labels))
    ]
    if any(total):
        unused = [label for label, count in zip(spec.labels, total, strict=True) if not count]
        if unused:
            yield f"labels that no example has: {_listed(unused)}"
    for split in SPLITS:
        lacking, rare = [], []
        for at, label in enumerate(spec.labels):
            has = {one.code: one.splits[split] for one in languages if _size(one, split)}
            missing = [code for code, of in has.items() if not of.labels[at]]
            shares = {code: of.labels[at] / sum(of.labels) for code, of in has.items() if of.labels[at]}
            few = [f"{code} ({100 * share:.2f} %)" for code, share in shares.items() if share < RARE]
            if missing and total[at]:  # the others are said above
                lacking.append(f"{label} in {_listed(missing)}")
            if few:
                rare.append(f"{label} in {_listed(few)}")
        if lacking:
            yield f"labels that {split} lacks: {'; '.join(lacking)}"
        if rare:
            yield f"labels under 1 % of {split}: {'; '.join(rare)}"
        if spec.kind == "tagged":
            continue
        told = _told(languages, split, lambda of: (of.majority * (of.majority >= NEARLY_ALL), commonest(spec, of)))
        if told:
            yield f"one label is nearly all of {split}, and a constant answer as good as a model: {told}"


def commonest(spec: TaskSpec, of: Figures) -> str:
    """The commonest label and its share."""
    return f"{spec.labels[of.labels.index(max(of.labels))]} {100 * of.majority:.1f} %"


def _sizes(spec: TaskSpec, languages: Sequence[Checked]) -> Iterator[str]:
    for split in SPLITS[1:]:
        told = _told(
            [one for one in languages if split not in one.broken],
            split,
            lambda of: (of.examples < SMALL, f"{of.examples} (± {half_width(of.examples):.0f} points)"),
        )
        if told:
            yield (
                f"too small to measure: fewer than {SMALL} {split} examples, with the 95 % interval of an "
                f"accuracy of one half: {told}"
            )
    sources = [one for one in languages if _size(one, "train") or "train" in one.broken]
    if len(sources) < _SOURCES:
        codes = ", ".join(one.code for one in sources)
        yield (
            f"a run needs at least {_SOURCES} languages with training data; found {len(sources)}"
            f"{f': {codes}' if codes else ''}"
        )
    most = PRESETS["quick"].most(spec.kind) or 0
    whole = [one for one in sources if "train" not in one.broken]
    few = sorted((_size(one, "train"), one.code) for one in whole if _size(one, "train") < most)
    if few:
        yield (
            f"fewer than {most} train examples: {_listed([f'{code} {size}' for size, code in few])}; the presets "
            f"quick and standard train every language on as many as the smallest has, here {few[0][0]}"
        )


def _lengths(spec: TaskSpec, languages: Sequence[Checked]) -> Iterator[str]:
    for split in SPLITS:
        told = _told(languages, split, lambda of: _part(of.long, of.examples, LONG))
        if told:
            yield (
                f"{split} texts of more than {MANY_TOKENS} words or {MANY_BYTES} bytes, whose end may not be read "
                f"(see --max-length): {told}"
            )


def _parallel(spec: TaskSpec, languages: Sequence[Checked]) -> Iterator[str]:
    if not spec.parallel:
        return
    for split in SPLITS:
        sizes: dict[int, list[str]] = {}
        for one in languages:
            if split not in one.broken and _size(one, split):
                sizes.setdefault(_size(one, split), []).append(one.code)
        if len(sizes) > 1:
            told = "; ".join(f"{size} in {_listed(codes)}" for size, codes in sorted(sizes.items(), reverse=True))
            yield f"items are parallel line by line, but {split} has different numbers of examples: {told}"
    for split in SPLITS:
        others = [(one.code, *one.differing[split]) for one in languages if split in one.differing]
        some = [f"{code} {count}" for code, _, count in others if count]
        if some:
            yield (
                f"items are parallel line by line, but {split} has labels that are not those of the same lines in "
                f"{others[0][1]}: {_listed(some)}"
            )


def _told(languages: Sequence[Checked], split: Split, say: Callable[[Figures], Said]) -> str:
    """``code what`` of the languages of which there is something to say, those with the most first."""
    some = [(one.code, *say(one.splits[split])) for one in languages if _size(one, split)]
    return _listed([f"{code} {told}" for code, weight, told in sorted(some, key=lambda one: -one[1]) if weight])


def _size(one: Checked, split: Split) -> int:
    return one.splits[split].examples if split in one.splits else 0


def _part(count: int, of: int, least: float = 0.0, more: str = "") -> Said:
    share = count / of
    percent = f"{100 * share:.1f} %" if share >= 0.0005 else "under 0.1 %"
    return share if share >= least else 0.0, f"{count} of {of} ({percent}{f'; {more}' if more else ''})"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
