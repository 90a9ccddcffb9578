"""Whether a strategy can train a kind of model: tried on one like it with fewer layers and random weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmark.training.batches import Batch
from benchmark.training.model import Classifier, cross_entropy
from benchmark.training.strategy import Start, Strategy
from tasks.languages import Language
from tasks.sources import one_line

LAYERS, WORDS, WIDTH, STEPS = 2, 64, 7, 2


def unsuitable(strategy: Strategy, folder: Path, languages: Sequence[Language]) -> str | None:
    """Why the strategy cannot train the model of a folder, in one line; ``None`` where it can, for two steps.

    Also where no such model can be made here, or none that classifies: then its training says what is wrong.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            model = Classifier(_small(folder), labels=2)
        except Exception:  # transformers raises whatever a configuration makes it
            return None
        works = _classifies(model)
        model.train()
        try:
            strategy.begin(Start(model, languages, seed=0, steps=STEPS, lr=0.0))
            for step in range(STEPS if works else 0):
                batches = {one: _rows(place) for place, one in enumerate(languages[:2])}
                strategy.backward(model, batches, cross_entropy)
                model.zero_grad(set_to_none=True)
                strategy.end_step(step)
        except ValueError as error:
            return one_line(error)
        except Exception as error:  # a plugin's code
            return f"{type(error).__name__}: {one_line(error)}" if works else None
        finally:
            strategy.end()
    return None


def _classifies(model: Classifier) -> bool:
    try:
        with torch.no_grad():
            cross_entropy(model, _rows(0))
    except Exception:  # as under any strategy
        return False
    return True


def _rows(place: int) -> Batch:
    """Two texts of one width."""
    ids = (torch.arange(2 * WIDTH) + place).view(2, WIDTH) % WORDS
    return Batch(ids, torch.ones_like(ids), torch.tensor([0, 1]))


def _small(folder: Path) -> Any:
    from transformers import AutoConfig, AutoModel, logging

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    config.num_hidden_layers = min(LAYERS, config.num_hidden_layers)
    if isinstance(getattr(config, "layer_types", None), list):
        config.layer_types = config.layer_types[:LAYERS]
    if hasattr(config, "vocab_size"):
        config.vocab_size = WORDS
        for name in ("pad", "bos", "eos", "cls", "sep"):
            if (getattr(config, f"{name}_token_id", None) or 0) >= WORDS:
                setattr(config, f"{name}_token_id", 0)
    encoder = AutoModel.from_config(config, dtype=torch.float32)  # type: ignore[no-untyped-call]
    if getattr(encoder, "pooler", None) is not None:
        encoder.pooler = None
    return encoder
