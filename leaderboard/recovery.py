"""How well a grouping finds the families of languages, where these are known."""

from __future__ import annotations

from collections.abc import Sequence


def adjusted_rand(groups: Sequence[Sequence[str]], families: Sequence[Sequence[str]]) -> float | None:
    """Adjusted Rand index (Hubert & Arabie, 1985) over the languages (codes) that are in both.

    (pairs together in both − expected) / (maximum − expected): 1 where the groups are the families, 0 on
    average for random groups of the same sizes, negative where they agree less than that.

    None with fewer than 2 languages, and where it is 0/0: all languages are in one group and one family, or
    each is alone in both (scikit-learn says 1 there, which no grouping has earned).
    """
    group_of = {code: place for place, group in enumerate(groups) for code in group}
    family_of = {code: place for place, family in enumerate(families) for code in family}
    both = sorted(group_of.keys() & family_of.keys())
    found = [group_of[code] for code in both]
    known = [family_of[code] for code in both]
    kinds = {len(set(found)), len(set(known))}
    if kinds in ({1}, {len(both)}):  # so it is with fewer than 2 languages
        return None
    from sklearn.metrics import adjusted_rand_score

    return float(adjusted_rand_score(known, found))
