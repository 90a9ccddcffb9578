"""Encoders whose attention heads and feed-forward units can be told apart, by ``model_type``; no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Places:
    """Module paths: the list of layers, and in each layer the linear maps that read heads and units."""

    layers: str
    attention: str
    feed_forward: str


_BERT = Places("encoder.layer", "attention.output.dense", "output.dense")
PLACES: Mapping[str, Places] = {
    "bert": _BERT,
    "camembert": _BERT,
    "deberta-v2": _BERT,
    "distilbert": Places("transformer.layer", "attention.out_lin", "ffn.lin2"),
    "electra": _BERT,
    "modernbert": Places("layers", "attn.Wo", "mlp.Wo"),
    "roberta": _BERT,
    "xlm-roberta": _BERT,
    "xlm-roberta-xl": _BERT,
}


def gated(config: Mapping[str, Any]) -> str | None:
    """Why heads and units of a model with this ``config.json`` cannot be gated; ``None`` if they can."""
    found = config.get("model_type")
    if found in PLACES:
        return None
    return f"heads and feed-forward units are known of {', '.join(PLACES)}, found {found or 'no model_type'}"
