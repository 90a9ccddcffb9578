"""Readings of a model as it stands, by kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmark.readings import ModelPlan
from benchmark.seeds import derive
from benchmark.training.batches import Encoded
from benchmark.training.embeddings import sentence_vectors
from benchmark.training.fisher import fisher
from benchmark.training.masks import subnetwork

if TYPE_CHECKING:
    from benchmark.jobs import TrainJob

Taken = tuple[Mapping[str, NDArray[Any]], Mapping[str, Any]]


def take(
    plan: ModelPlan, model: nn.Module, sets: Mapping[str, Encoded], job: TrainJob, device: torch.device
) -> Taken:
    """Named arrays, and their description as plain JSON; the model is left as it was.

    Raises:
        ValueError: the model lacks what the reading is about; or an unknown kind.
    """
    params = dict(plan.params)
    precision = job.hyper.precision
    seed = derive(job.seed, plan.kind, *(f"{name}={key}" for name, key in plan.sets))
    if plan.kind == "embeddings":
        arrays, meta = sentence_vectors(model, sets, int(params.get("layer", -1)), device, precision)
        return {name: np.asarray(array, dtype=np.float32) for name, array in arrays.items()}, meta
    if plan.kind == "fisher":
        return fisher(model, sets["train"], seed=seed, precision=precision, device=device)
    if plan.kind == "masks":
        return subnetwork(
            model,
            sets["train"],
            sets["dev"],
            metric=job.metric,
            labels=job.names,
            tolerance=float(params["tolerance"]),
            seed=seed,
            precision=precision,
            device=device,
        )
    raise ValueError(f"readings of a model known here are embeddings, fisher and masks, found {plan.kind!r}")
