"""Sentence vectors of the dev examples: the run's encoder, or a sentence-transformers model."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmark.training.batches import Batch, Encoded, collate
from benchmark.training.evaluation import TOKENS
from benchmark.training.loop import autocast

Vectors = dict[str, NDArray[np.float32]]
ROWS = 256  # per batch, at most
LAST = -1


def sentence_vectors(
    model: nn.Module, data: Mapping[str, Encoded], layer: int, device: torch.device, precision: str
) -> tuple[Vectors, dict[str, Any]]:
    """Mean-pooled hidden states of ``model.encoder``, a row for each example, and what they are.

    ``layer``: -1 the last, 0 the output of the embeddings, 1 … the layers. Restores the model's mode.

    Raises:
        ValueError: a layer that the encoder does not have.
    """
    encoder: Any = model.encoder
    layers, width = int(encoder.config.num_hidden_layers), int(encoder.config.hidden_size)
    if not LAST <= layer <= layers:
        raise ValueError(f"layer must be -1 (the last) or 0 (the embeddings) to {layers}, found {layer}")
    was_training = model.training
    model.eval()  # no dropout: the random numbers of a training are not touched
    try:
        # Not inference_mode: what an encoder caches in there could not be trained through later.
        with torch.no_grad(), autocast(device, precision):
            arrays = {code: _pooled(encoder, one, layer, width, device) for code, one in data.items()}
    finally:
        model.train(was_training)
    place = {LAST: "last layer", 0: "embeddings"}.get(layer, f"layer {layer}")
    kind = getattr(encoder.config, "model_type", type(encoder).__name__)
    return arrays, {"encoder": f"{kind} ({place} of {layers}, mean-pooled)", "width": width}


def _pooled(encoder: Any, data: Encoded, layer: int, width: int, device: torch.device) -> NDArray[np.float32]:
    """One language's vectors, in batches of its own: no other language changes their rounding."""
    found = np.empty((len(data), width), dtype=np.float32)
    lengths = data.lengths
    order = np.argsort(lengths, kind="stable")
    start = 0
    while start < len(order):
        longest = int(lengths[order[min(start + ROWS, len(order)) - 1]])
        rows = order[start : start + min(ROWS, max(1, TOKENS // longest))]
        batch = collate(data, rows).to(device)
        hidden = _hidden(encoder, batch, layer)
        mask = batch.mask.unsqueeze(-1).float()  # makes the sum float32 in bf16 too
        found[rows] = ((hidden * mask).sum(1) / mask.sum(1)).cpu().numpy()
        start += len(rows)
    return found if data.owners is None else _whole(found, data, data.owners)


def _whole(found: NDArray[np.float32], data: Encoded, owners: NDArray[np.int64]) -> NDArray[np.float32]:
    """Vectors of sentences that are in several rows: the mean over all their tokens."""
    sums = np.zeros((int(owners.max(initial=-1)) + 1, found.shape[1]))
    np.add.at(sums, owners, found * data.lengths[:, None])
    tokens = np.bincount(owners, weights=data.lengths)
    return np.asarray(sums / tokens[:, None], dtype=np.float32)


def _hidden(encoder: Any, batch: Batch, layer: int) -> Tensor:
    inputs = {"input_ids": batch.ids, "attention_mask": batch.mask}
    if batch.types is not None:
        inputs["token_type_ids"] = batch.types
    if layer == LAST:
        return encoder(**inputs).last_hidden_state  # type: ignore[no-any-return]
    return encoder(**inputs, output_hidden_states=True).hidden_states[layer]  # type: ignore[no-any-return]


def sentence_transformer_vectors(
    folder: Path, texts: Mapping[str, Sequence[str]], device: str
) -> tuple[Vectors, dict[str, Any]]:
    """Vectors of a sentence-transformers model folder, a row for each text, and what they are.

    Local files only, no code of the folder's own; the caller sets the number of threads.

    Raises:
        ValueError: no sentence-transformers model, or one that needs code of its own.
    """
    # Without this file the library would mean-pool the bare encoder, whatever it was trained with.
    if not (folder / "modules.json").is_file():
        raise ValueError(f"a sentence-transformers model folder has a modules.json, found none in {folder}")
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.getLogger("sentence_transformers").setLevel(logging.ERROR)
    model = SentenceTransformer(
        str(folder),
        device=device,
        local_files_only=True,
        trust_remote_code=False,
        model_kwargs={"dtype": torch.float32},
    )
    width = int(model.get_embedding_dimension() or 0)
    arrays = {code: np.empty((0, width), dtype=np.float32) for code in texts}
    for code, some in texts.items():
        if some:
            encoded = model.encode(list(some), show_progress_bar=False, convert_to_numpy=True)
            arrays[code] = np.asarray(encoded, dtype=np.float32)
    parts = ", ".join(type(part).__name__ for part in model)
    return arrays, {"encoder": f"sentence-transformers ({parts})", "width": width}
