"""Imported once by the server that workers are forked from."""

import safetensors.torch
import torch
from transformers import AutoModel
from transformers.models.bert import modeling_bert

import benchmark.training.execution  # noqa: F401

torch.set_num_threads(1)
LOADED = (safetensors.torch.load_file, AutoModel, modeling_bert)
