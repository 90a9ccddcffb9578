"""Gates on the attention heads and feed-forward units of an encoder."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from benchmark.architectures import PLACES, gated


class Gates:
    """Multiplies each head's and each unit's output by a gate, until ``remove`` or the end of ``with``.

    ``heads`` is ``[layers, heads]`` and ``units`` ``[layers, units]``, or each with a first dimension of
    examples; ``None`` leaves all open. They may be set anew at any time, and may require grad. A gate
    of 0 is the same as no such head or unit: they meet the rest of the layer only in the linear map
    behind them, so the gate stands on that map's input.

    Raises:
        ValueError: an encoder whose heads and units are not known.
    """

    def __init__(self, model: nn.Module) -> None:
        encoder: Any = model.encoder
        reason = gated(encoder.config.to_dict())
        if reason:
            raise ValueError(reason)
        places = PLACES[encoder.config.model_type]
        layers: Any = encoder.get_submodule(places.layers)
        maps = [
            (layer.get_submodule(places.attention), layer.get_submodule(places.feed_forward)) for layer in layers
        ]
        self.heads_shape = (len(maps), int(encoder.config.num_attention_heads))
        self.units_shape = (len(maps), int(maps[0][1].in_features))
        self.heads: Tensor | None = None
        self.units: Tensor | None = None
        self._hooks: list[Any] = []
        for layer, (attention, feed_forward) in enumerate(maps):
            self._hooks.append(attention.register_forward_pre_hook(self._on_heads(layer)))
            self._hooks.append(feed_forward.register_forward_pre_hook(self._on_units(layer)))

    def open(self, device: torch.device) -> None:
        """Set all gates to 1."""
        self.heads = torch.ones(self.heads_shape, device=device)
        self.units = torch.ones(self.units_shape, device=device)

    def remove(self) -> None:
        """Take the gates off the model."""
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()

    def __enter__(self) -> Gates:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()

    def _on_heads(self, layer: int) -> Any:
        def gate(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
            if self.heads is None:
                return None
            (hidden,) = inputs
            gates = _of_layer(self.heads, layer, hidden)
            width = hidden.shape[-1] // gates.shape[-1]  # of a head; the heads lie side by side
            return (hidden * gates.repeat_interleave(width, dim=-1),)

        return gate

    def _on_units(self, layer: int) -> Any:
        def gate(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
            if self.units is None:
                return None
            (hidden,) = inputs
            return (hidden * _of_layer(self.units, layer, hidden),)

        return gate


def _of_layer(gates: Tensor, layer: int, like: Tensor) -> Tensor:
    """One layer's gates, to be multiplied with ``[examples, length, gates]``."""
    chosen = gates[..., layer, :].to(like.dtype)
    return chosen if chosen.ndim == 1 else chosen.unsqueeze(1)
