"""Inner products of task vectors, without ever holding two models at once."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

CHUNK = 1 << 24  # elements handled at once, all models together


def task_vectors(
    initial: Mapping[str, Tensor], trained: Sequence[Path], blocks: Mapping[str, Sequence[str]]
) -> NDArray[np.float64]:
    """⟨θ_i − θ_0, θ_j − θ_0⟩ by block, shape ``[blocks, models, models]``.

    ``initial``: θ_0 by parameter name. ``trained``: a safetensors file of the same names per model.
    Differences and products are float32, their sums float64.
    """
    from safetensors import safe_open

    grams = np.zeros((len(blocks), len(trained), len(trained)))
    with contextlib.ExitStack() as stack, torch.no_grad():
        files = [stack.enter_context(safe_open(path, framework="pt")) for path in trained]
        for place, names in enumerate(blocks.values() if files else ()):
            for name in names:
                start = initial[name].detach().cpu().float()
                tensors = [file.get_slice(name) for file in files]
                width = max(1, start[:1].numel()) * len(files)
                step = max(1, CHUNK // width)
                for row in range(0, len(start), step):
                    here = slice(row, row + step)
                    moved = torch.stack([tensor[here].float() - start[here] for tensor in tensors]).flatten(1)
                    grams[place] += (moved @ moved.T).double().numpy()
    return grams
