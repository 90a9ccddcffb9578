"""The gradient trace of the joint training, and what every measure taken from it shares.

The runner keeps of the gradients only their inner products: at each probe, each language's
loss gradient on two disjoint half-batches a and b, one ``[2n, 2n]`` Gram matrix per block
of parameters (rows a of every language, then rows b). Beside it stand the loss of each half
and the learning rate. All that follows is algebra on these, so one training serves every measure.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from measures.base import Evidence, Matrix, Measure, MeasureError, SimilarityMatrix
from measures.needs import Needs, Reading, ReadingResult

Gram = NDArray[np.float64]
HALVES = ("odd probes", "even probes")
PHASES = ("first third", "middle third", "last third")


@dataclass(frozen=True, eq=False)
class Trace:
    """Some probes of the training, of some blocks of parameters taken as one vector.

    ``gram`` ``[probes, 2n, 2n]``, ``loss`` ``[probes, 2n]``, ``lr`` ``[probes]``. ``parallel``:
    the halves are the same items in every language.
    """

    gram: Gram
    loss: NDArray[np.float64]
    lr: NDArray[np.float64]
    parallel: bool

    @classmethod
    def of(cls, result: ReadingResult, blocks: Sequence[int]) -> Trace:
        arrays = result.arrays
        gram = arrays["gram"][:, list(blocks)].sum(axis=1)  # blocks are orthogonal: inner products add
        return cls(gram, arrays["loss"], arrays["lr"], bool(result.meta["parallel"]))

    def phases(self) -> dict[str, Trace]:
        """Three phases of as equal length as can be, and every other probe (whose agreement is the
        reliability of the whole); none where there are too few probes for them."""
        probes = np.arange(len(self.lr))
        parts: dict[str, NDArray[np.int64]] = {}
        if len(probes) >= len(PHASES):
            parts |= zip(PHASES, np.array_split(probes, len(PHASES)), strict=True)
        if len(probes) >= 2 * len(HALVES):
            parts |= {name: probes[start::2] for start, name in enumerate(HALVES)}
        return {
            name: Trace(self.gram[at], self.loss[at], self.lr[at], self.parallel) for name, at in parts.items()
        }


class GradientMeasure(Measure):
    """A measure that is computed from the gradient trace alone."""

    access = "labels"

    def __init__(self, blocks: str = "all", split: Literal["dev", "train"] = "dev") -> None:
        self.blocks = blocks
        self.split = split

    @abstractmethod
    def compare(self, trace: Trace) -> Matrix:
        """Similarity ``[n, n]`` of the trace's languages; NaN where one has no gradient."""

    def needs(self) -> Needs:
        block_patterns(self.blocks)  # a misspelt block is said before anything is trained
        return Needs(readings=frozenset({self._reading()}))

    def _reading(self) -> Reading:
        return Reading("joint", "gradients", (("split", self.split),))

    def similarity(self, evidence: Evidence) -> SimilarityMatrix:
        """The measure on all chosen blocks and probes, and as views on each block and each phase."""
        result = evidence.read(self._reading())
        names = result.meta["blocks"]
        chosen = select_blocks(self.blocks, names)
        trace = Trace.of(result, chosen)
        parts = {names[block]: Trace.of(result, [block]) for block in chosen} if len(chosen) > 1 else {}
        # The trace covers the languages that have probe data, in its own order.
        places = {code: place for place, code in enumerate(result.meta["languages"])}
        order = [places.get(language.code, -1) for language in evidence.languages]
        full = _placed(self.compare(trace), order)
        return SimilarityMatrix(
            evidence.languages,
            full,
            coverage=np.where(np.isnan(full), 0.0, 1.0),
            notes=(_note(trace.gram, result),),
            views={name: _placed(self.compare(part), order) for name, part in (parts | trace.phases()).items()},
        )


def _placed(values: Matrix, order: Sequence[int]) -> Matrix:
    """``values`` in another order of languages; NaN for a language whose place is -1."""
    known = np.array(order) >= 0
    full = np.full((len(order), len(order)), np.nan)
    full[np.ix_(known, known)] = values[np.ix_(*[[place for place in order if place >= 0]] * 2)]
    return full


def _note(gram: Gram, result: ReadingResult) -> str:
    signal = signal_fraction(gram)
    if not np.isfinite(signal).any():
        return "no language has a gradient: every probe was zero"
    return (
        f"signal fraction of the gradients: median {np.nanmedian(signal):.2f}, "
        f"lowest {np.nanmin(signal):.2f}; {len(gram)} probes of "
        f"2×{result.meta['half_batch']} examples a language, {result.meta['exactness']}"
    )


def quarters(gram: Gram) -> tuple[Gram, Gram, Gram, Gram]:
    """The four ``[probes, n, n]`` quarters: aa, ab, ba, bb."""
    n = gram.shape[-1] // 2
    return gram[:, :n, :n], gram[:, :n, n:], gram[:, n:, :n], gram[:, n:, n:]


def mean_products(gram: Gram) -> Gram:
    """⟨ḡ_i, ḡ_j⟩ per probe, shape ``[probes, n, n]``, with ḡ = (g^a + g^b)/2."""
    aa, ab, ba, bb = quarters(gram)
    return np.asarray((aa + ab + ba + bb) / 4)


def products(gram: Gram, *, parallel: bool) -> Gram:
    """Inner products of the languages' gradients per probe, shape ``[probes, n, n]``.

    ⟨ḡ_i, ḡ_j⟩, but where items are parallel across languages the mean of the two crossed
    ⟨g_i^a, g_j^b⟩ and ⟨g_i^b, g_j^a⟩: on the same items the noise of the draw is shared, and
    every two languages would look alike. Off the diagonal both are free of sampling noise in
    the mean. The diagonal is ‖ḡ_i‖² in both, which contains it.
    """
    mean = mean_products(gram)
    if not parallel:
        return mean
    _, ab, ba, _ = quarters(gram)
    return np.where(np.eye(mean.shape[-1], dtype=bool), mean, (ab + ba) / 2)


def probe_weights(mean: Gram) -> NDArray[np.float64]:
    """1 / mean_i ‖ḡ_i(p)‖², so that every probe counts alike; 0 for a probe without gradients."""
    scale = np.einsum("pii->p", mean) / mean.shape[-1]
    weights: NDArray[np.float64] = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale > 0)
    return weights


def mean_over_probes(each: Gram) -> Matrix:
    """The mean over the probes that say something; NaN where none does."""
    values = np.full(each.shape[1:], np.nan)
    said = np.isfinite(each)
    np.divide(np.where(said, each, 0).sum(0), said.sum(0), out=values, where=said.any(0))
    return values


def signal_fraction(gram: Gram) -> NDArray[np.float64]:
    """Per language, the share of the squared gradient norm that is not sampling noise.

    Σ_p w_p ⟨g^a, g^b⟩ / Σ_p w_p ‖ḡ‖² with the weights of :func:`probe_weights`.
    """
    mean = mean_products(gram)
    weights = probe_weights(mean)
    energy = np.einsum("p,pii->i", weights, mean)
    split = np.einsum("p,pii->i", weights, quarters(gram)[1])
    share: NDArray[np.float64] = np.divide(split, energy, out=np.full_like(energy, np.nan), where=energy > 0)
    return share


def block_patterns(blocks: str) -> list[str]:
    """The parts of a ``blocks`` parameter, checked for form.

    Raises:
        MeasureError: a part that is none of the allowed forms.
    """
    parts = [part.strip() for part in blocks.split("+")]
    for part in parts:
        if part in ("all", "embeddings", "positions", "body", "head"):
            continue
        layers = re.fullmatch(r"layer\.(\d+)(?:-(\d+))?", part)
        if not layers or (layers[2] and int(layers[2]) < int(layers[1])):
            raise MeasureError(
                "blocks must be all, embeddings, positions, body, head, layer.0, layer.0-3 or several joined "
                f"with +, found {part!r}"
            )
    return parts


def select_blocks(blocks: str, names: Sequence[str]) -> list[int]:
    """Indices of the blocks of a model (``embeddings``, ``layer.0``, …, ``head``) that are meant.

    Raises:
        MeasureError: a block that the model does not have.
    """
    chosen: set[int] = set()
    for part in block_patterns(blocks):
        if part == "all":
            wanted = set(names)
        elif part == "body":
            wanted = {name for name in names if name.startswith("layer.")}
        elif layers := re.fullmatch(r"layer\.(\d+)(?:-(\d+))?", part):
            wanted = {f"layer.{i}" for i in range(int(layers[1]), int(layers[2] or layers[1]) + 1)}
        else:
            wanted = {part}
        if not wanted or not wanted <= set(names):
            raise MeasureError(
                f"blocks={part!r}: this model has {names[0]} to {names[-1]} "
                f"({', '.join(names)}), found no {', '.join(sorted(wanted - set(names))) or part}"
            )
        chosen |= {names.index(name) for name in wanted}
    return sorted(chosen)
