"""Languages that are kept out of training altogether, and the few examples that models are adapted to them on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmark.config import RunConfig
from benchmark.encoding import Encoder
from benchmark.errors import UserError
from benchmark.samples import stratified, unseen
from benchmark.seeds import derive, digest
from benchmark.shots import Shots
from tasks.base import Corpus, Example, Task
from tasks.languages import Language, UnknownLanguage, find
from tasks.sources import fingerprint

if TYPE_CHECKING:
    from benchmark.setup import SeedData
    from benchmark.store import Store

POOL = 2000  # training examples of a language that its support is drawn from, or twice the support if that is more
Rows = tuple[Example, ...]


@dataclass(frozen=True)
class Unseen:
    """``sizes``: how many examples models are fine-tuned on, 0 first. ``support``: these examples, by seed.

    Support sets of one seed are nested, and the same for all models. ``plans``: what a model is tried on, by seed.
    """

    languages: tuple[Language, ...]
    sizes: tuple[int, ...]
    test: Mapping[str, Rows]
    support: Mapping[int, Mapping[tuple[str, int], Rows]]
    plans: Mapping[int, tuple[Shots, ...]]

    def examples(self, seed: int) -> Iterator[tuple[str, Rows]]:
        """All that is encoded for a seed, with its key."""
        for one in self.plans[seed]:
            yield (
                (one.support, self.support[seed][one.language, one.k])
                if one.k
                else (
                    one.test,
                    self.test[one.language],
                )
            )

    @property
    def fingerprint(self) -> str:
        """Of all examples that models are adapted on and scored on."""
        parts = {f"test/{code}": rows for code, rows in self.test.items()}
        for seed, of in self.support.items():
            parts |= {f"{seed}/{code}/{k}": rows for (code, k), rows in of.items()}
        return digest({part: fingerprint(rows) for part, rows in parts.items()})


def kept_out(config: RunConfig, task: Task, trained: Sequence[Language], named: bool) -> tuple[Language, ...]:
    """The languages of ``--unseen``. ``named``: somebody asked for each of the languages that are trained on.

    Raises:
        UserError: an unknown language, one that is trained on, sizes that make no sense.
    """
    try:
        found = tuple(dict.fromkeys(find(code, task.languages(), task.codes()) for code in config.unseen))
    except UnknownLanguage as error:
        raise UserError(f"--unseen: {task.name}: {error}") from error
    both = [language.code for language in found if named and language in trained]
    if both:
        raise UserError(
            f"--unseen takes languages that are not trained on, found {', '.join(both)} among --languages too"
        )
    shots, given = config.shots, ",".join(map(str, config.shots))
    if shots and not found:
        raise UserError(f"--shots takes examples of the languages of --unseen, found {given} and no --unseen")
    if any(k < 1 for k in shots) or list(shots) != sorted(set(shots)):
        raise UserError(
            "--shots takes different whole numbers from 1 in rising order, as 16,64,256 (0 is always tried), "
            f"found {given}"
        )
    return found


def tried_on(
    languages: Sequence[Language],
    shots: tuple[int, ...],
    corpus: Corpus,
    limit: int | None,
    seeds: Sequence[SeedData],
    store: Store,
) -> Unseen | None:
    """What models are tried on in languages that are kept out. ``limit``: test examples a language at most.

    Raises:
        UserError: a language that the data lacks, or without test examples, or without enough to train on.
    """
    if not languages:
        return None
    has = corpus.languages()
    missing = [one.code for one in languages if has is not None and one not in has]
    if has is not None and missing:
        raise UserError(
            f"--unseen takes languages that the data ({corpus.source}) has, {', '.join(one.code for one in has)}, "
            f"found {', '.join(missing)}"
        )
    test = {one.code: _test(one, corpus, limit) for one in languages}
    support: dict[int, dict[tuple[str, int], Rows]] = {}
    plans = {}
    for of in seeds:
        support[of.seed] = {
            (one.code, k): rows
            for one in languages
            for k, rows in _support(one, shots, corpus, derive(of.seed, "support", one.code)).items()
        }
        encoder = Encoder(store, of.model.folder, of.model.digest, of.hyper.max_length)
        keys = {code: encoder.key(fingerprint(rows)) for code, rows in test.items()}
        zero = [Shots(one.code, 0, "", keys[one.code]) for one in languages]
        few = [
            Shots(code, k, encoder.key(fingerprint(rows)), keys[code])
            for (code, k), rows in support[of.seed].items()
        ]
        plans[of.seed] = (*zero, *few)
    return Unseen(tuple(languages), (0, *shots), test, support, plans)


def _test(language: Language, corpus: Corpus, limit: int | None) -> Rows:
    rows = corpus.examples(language, "test")
    if not rows:
        raise UserError(f"--unseen takes languages with test data, found none of {language.code}")
    return stratified(rows, limit, derive(0, "test", language.code))


def _support(language: Language, shots: Sequence[int], corpus: Corpus, seed: int) -> dict[int, Rows]:
    """Nested support sets by size, from training examples whose text is not in the test set."""
    if not shots:
        return {}
    from benchmark.training.adaptation import nested

    train = corpus.examples(language, "train")
    if not train:
        raise UserError(f"--shots takes examples of languages with training data, found none of {language.code}")
    drawn = stratified(train, max(POOL, 2 * shots[-1]), derive(seed, "pool"))
    pool = unseen(drawn, corpus.examples(language, "test"))
    if len(pool) < shots[-1]:
        raise UserError(
            f"--shots takes no more examples than an unseen language has to train on, {len(pool)} of "
            f"{language.code} (of those that are not in its test data), found {shots[-1]}"
        )
    return {k: tuple(rows) for k, rows in zip(shots, nested(pool, shots, seed), strict=True)}
