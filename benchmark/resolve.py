"""From a reading that a measure wants to the plan of taking it: examples, sizes, what the model must have."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from benchmark.architectures import gated
from benchmark.config import SCRATCH, SCRATCH_LAYERS
from benchmark.encoding import half
from benchmark.errors import UserError
from benchmark.models import Model
from benchmark.readings import REPEAT, ModelPlan, ReadingPlan, TracePlan, repeated
from measures.needs import Reading
from tasks.base import Example

if TYPE_CHECKING:
    from benchmark.setup import SeedData, Setup

PROBES = (8, 12)  # of a training: fewer see too few of its phases, more only cost time
HALF_BATCHES = (8, 64)  # examples of a probe's half-batch
PROBE_COST = 1.4  # time of a probe's example, in examples trained on: less is batched, more is padded


def resolve(setup: Setup, of: SeedData, reading: Reading, code: str | None) -> ReadingPlan | None:
    """The plan of a reading; ``code`` names the language whose training it is of. None for what is
    put together from several trainings, or needs none (see ``benchmark.derived``).

    Raises:
        UserError: a reading nobody knows how to take, or that this model does not have.
    """
    params = dict(reading.params)
    match reading.of, reading.kind:
        case "joint", "gradients" if params.get("split", "dev") in of.pools and params.keys() <= {"split"}:
            return _trace(setup, of, reading)
        case "initial", "embeddings" if params.keys() == {"model"}:
            return None
        case (("initial" | "joint"), "embeddings") if params.keys() <= {"layer"}:
            _check_layer(of.model, int(params.get("layer", -1)))
            sets = tuple((code, of.keys["dev", code]) for code in sorted(setup.codes))
            stage: Literal["initial", "trained"] = "initial" if reading.of == "initial" else "trained"
            return ModelPlan("embeddings", reading.params, stage, sets)
        case "each", "weights" if not params:
            return None
        case "each", ("fisher" | "masks") if code is not None:
            again = repeated(reading)
            sets = (("train", of.keys["again" if again else "train", code]), ("dev", of.keys["dev", code]))
            if reading.kind == "masks":
                reason = gated(config_of(of.model))
                if reason:
                    raise UserError(reason)
            own = tuple(one for one in reading.params if one != REPEAT)
            return ModelPlan(reading.kind, own, "trained", sets if reading.kind == "masks" else sets[:1])
    raise UserError(
        "readings known here are gradients of the joint training (split dev or train), embeddings of the initial "
        "and the joint model (layer, or model), weights, fisher and masks of each language's own model, "
        f"found {reading.kind} of {reading.of}{' with ' + str(params) if params else ''}"
    )


def _trace(setup: Setup, of: SeedData, reading: Reading) -> TracePlan:
    """A gradient reading, sized to take about ``probe_share`` of the joint training's time."""
    split = str(dict(reading.params).get("split", "dev"))
    halves = {code: _smaller_half(rows, setup.spec.parallel) for code, rows in of.pools[split].items()}
    pools = sorted(code for code, smaller in halves.items() if smaller >= HALF_BATCHES[0])
    if len(pools) < 3:
        raise UserError(
            f"gradients need at least 3 languages with {2 * HALF_BATCHES[0]} {split} examples "
            f"that are in no other split, found {len(pools)}"
        )
    seen = of.hyper.epochs * sum(len(of.train[code]) for code in setup.sources)
    share = setup.config.probe_share / PROBE_COST
    allowed = share * seen / (2 * len(pools))  # examples a language and half, over all probes
    size = int(min(HALF_BATCHES[1], max(HALF_BATCHES[0], allowed // PROBES[0])))
    size = min(size, *(halves[code] for code in pools))
    return TracePlan(
        kind=reading.kind,
        params=reading.params,
        pools=tuple((code, of.keys["pool" if split == "dev" else "train", code]) for code in pools),
        probes=int(min(PROBES[1], max(1, allowed // size))),
        half_batch=size,
        parallel=setup.spec.parallel,
    )


def _smaller_half(rows: Sequence[Example], parallel: bool) -> int:
    """How many examples a half-batch can have without repeating any."""
    ones = sum(map(half, rows)) if parallel else len(rows) // 2
    return min(ones, len(rows) - ones)


def config_of(model: Model) -> dict[str, Any]:
    """``config.json`` of a model's folder; a scratch model, which may not be built yet, is a small BERT."""
    if model.name == SCRATCH:
        return {"model_type": "bert", "num_hidden_layers": SCRATCH_LAYERS}
    config: dict[str, Any] = json.loads((model.folder / "config.json").read_text("utf8"))
    return config


def _check_layer(model: Model, layer: int) -> None:
    layers = config_of(model).get("num_hidden_layers")
    if layers is not None and not -1 <= layer <= int(layers):
        raise UserError(
            f"this model has layers 0 (embeddings) to {layers}, or -1 for the last, found layer={layer}"
        )
