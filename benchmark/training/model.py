"""The model: an encoder from a folder and a linear head, on the mean of a text or on its tokens."""

from __future__ import annotations

import re
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.training.batches import Batch

# Encoders that take a mask of attention as it is given (transformers' ``create_bidirectional_mask``).
_MASKS_AS_GIVEN = ("bert", "camembert", "distilbert", "electra", "roberta", "xlm-roberta", "xlm-roberta-xl")


class Classifier(nn.Module):
    """The last hidden states, their mean where a text has one label; dropout, one linear layer."""

    def __init__(self, encoder: nn.Module, labels: int) -> None:
        super().__init__()
        self.encoder = encoder
        config: Any = encoder.config
        self.dropout = nn.Dropout(float(getattr(config, "hidden_dropout_prob", None) or 0.1))
        self.head = nn.Linear(int(config.hidden_size), labels)

    def forward(self, batch: Batch) -> Tensor:
        """Logits, shape ``[terms, labels]``: of each row, or of each token that the batch has labels for."""
        inputs: dict[str, Tensor | None] = {"input_ids": batch.ids, "attention_mask": self._attended(batch)}
        if batch.types is not None:
            inputs["token_type_ids"] = batch.types
        hidden = self.encoder(**inputs).last_hidden_state
        if batch.places is None:
            mask = batch.mask.unsqueeze(-1).to(hidden.dtype)
            labelled = (hidden * mask).sum(1) / mask.sum(1)
        else:
            labelled = hidden.flatten(0, 1)[batch.places]
        logits: Tensor = self.head(self.dropout(labelled))
        return logits

    def _attended(self, batch: Batch) -> Tensor | None:
        """The mask as the encoder's attention will have it, ``[rows, 1, tokens, tokens]``; nothing where no token
        is padding. An encoder that makes it itself asks the device first, and the host would wait."""
        config: Any = self.encoder.config
        kind, attention = (getattr(config, name, None) for name in ("model_type", "_attn_implementation"))
        if kind not in _MASKS_AS_GIVEN or attention != "sdpa":
            return batch.mask
        if batch.mask.all() if batch.full is None else batch.full:
            return None
        rows, tokens = batch.ids.shape
        return batch.mask.bool()[:, None, None, :].expand(rows, 1, tokens, tokens)


def cross_entropy(model: nn.Module, batch: Batch) -> Tensor:
    """Mean loss over all labels of the batch, in float32 whatever the precision of the forward pass."""
    return nn.functional.cross_entropy(model(batch).float(), batch.labels)


def losses_by_row(model: nn.Module, batch: Batch) -> Tensor:
    """The loss of each row, ``[rows]``: of its label, or the mean over its labelled tokens."""
    losses = nn.functional.cross_entropy(model(batch).float(), batch.labels, reduction="none")
    if batch.places is None:
        return losses
    rows = batch.places // batch.ids.shape[1]
    sums = torch.zeros(len(batch), device=losses.device).index_add(0, rows, losses)
    return sums / torch.bincount(rows, minlength=len(batch))


def load(folder: Path, labels: int, seed: int) -> Classifier:
    """The encoder of a model folder with a fresh head, initialised from ``seed``."""
    encoder = load_encoder(folder)
    torch.manual_seed(seed)
    model = Classifier(encoder, labels)
    nn.init.normal_(model.head.weight, std=0.02)
    nn.init.zeros_(model.head.bias)
    return model


def load_encoder(folder: Path) -> nn.Module:
    """The bare encoder, float32, scaled-dot-product attention where the model has it; local files only.

    No code of the folder's or of the hub's is run: attention is what we say, whatever the configuration says.

    Raises:
        ValueError: weights in a file that cannot be loaded without running code.
    """
    from transformers import AutoConfig, AutoModel, logging
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # type: ignore[no-untyped-call]
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}

    def loaded(attention: str) -> Any:
        config = AutoConfig.from_pretrained(folder, **local)  # given by itself, it yields to what is said here
        return AutoModel.from_pretrained(
            folder, config=config, attn_implementation=attention, dtype=torch.float32, weights_only=True, **local
        )

    try:
        encoder = loaded("sdpa")
    except UnpicklingError as error:
        raise ValueError(
            "the weights need more than torch's weights-only loader, and that would run code; "
            "a model in safetensors, or in plain tensors, is needed"
        ) from error
    except ValueError as error:
        if "attention" not in str(error):
            raise
        encoder = loaded("eager")
    if getattr(encoder, "pooler", None) is not None:
        encoder.pooler = None  # never used: it would only carry a weight without a gradient
    return encoder  # type: ignore[no-any-return]


def block_of(parameter: str, table: str = "") -> str:
    """The block a parameter of a :class:`Classifier` belongs to.

    ``embeddings`` is the ``table`` of token embeddings alone; ``positions`` the rest of that layer
    (positions, token types, normalisation), which takes part in every text of every language, and has half to
    three quarters of a small model's squared gradient; then ``layer.i``, and ``head``.
    """
    if parameter == table:
        return "embeddings"
    layer = re.search(r"(?:^|[._])(?:layers?|h|blocks?)\.(\d+)\.", parameter)
    if layer:
        return f"layer.{layer[1]}"
    return "positions" if "embed" in parameter or parameter.endswith("wpe.weight") else "head"


def blocks(model: nn.Module) -> dict[str, list[str]]:
    """Names of the trainable parameters by block: embeddings, positions, the layers in order, head."""
    tokens = model.encoder.get_input_embeddings().weight  # type: ignore[union-attr, operator]
    table = next((name for name, parameter in model.named_parameters() if parameter is tokens), "")
    found: dict[str, list[str]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            found.setdefault(block_of(name, table), []).append(name)

    def rank(block: str) -> tuple[int, int]:
        if block.startswith("layer."):
            return 2, int(block.removeprefix("layer."))
        return ("embeddings", "positions", "", "head").index(block), 0

    return dict(sorted(found.items(), key=lambda item: rank(item[0])))
