"""Imported once by the server that workers are forked from."""

import contextlib

import safetensors.torch
import torch
from transformers import AutoModel
from transformers.models.bert import modeling_bert

import benchmark.training.execution  # noqa: F401

torch.set_num_threads(1)
with contextlib.suppress(ImportError):  # else each worker makes this table anew, with its first model
    from transformers.conversion_mapping import get_checkpoint_conversion_mapping

    get_checkpoint_conversion_mapping("bert")  # type: ignore[no-untyped-call]
LOADED = (safetensors.torch.load_file, AutoModel, modeling_bert)
