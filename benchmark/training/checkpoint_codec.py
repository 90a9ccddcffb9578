"""Nested state as plain JSON and named tensors, and back: no pickle, nothing but data is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor


def encode(value: Any) -> tuple[Any, dict[str, Tensor]]:
    """JSON with a place for each tensor, and the tensors, on the CPU and each with memory of its own.

    Dicts (keys of any plain kind, in their order), lists, tuples, tensors, arrays, numbers, strings, ``None``.

    Raises:
        TypeError: anything else.
    """
    tensors: dict[str, Tensor] = {}
    seen: set[int] = set()

    def keep(tensor: Tensor) -> str:
        name = str(len(tensors))
        tensor = tensor.detach().cpu().contiguous()
        memory = tensor.untyped_storage()
        if memory.data_ptr() in seen or memory.nbytes() != tensor.nbytes:  # a tied weight, or a part of another
            tensor = tensor.clone()
        seen.add(tensor.untyped_storage().data_ptr())
        tensors[name] = tensor
        return name

    def form(one: Any) -> Any:
        if one is None or type(one) in (bool, int, float, str):
            return one
        if isinstance(one, list):
            return [form(each) for each in one]
        if isinstance(one, tuple):
            return {"tuple": [form(each) for each in one]}
        if isinstance(one, Mapping):
            return {"dict": [[form(key), form(each)] for key, each in one.items()]}
        if isinstance(one, Tensor):
            return {"tensor": keep(one)}
        if isinstance(one, np.generic):
            return {"scalar": keep(torch.tensor(np.asarray(one)))}
        if isinstance(one, np.ndarray):
            return {"array": keep(torch.tensor(one))}
        raise TypeError(f"state is made of dicts, lists, tensors, numbers and strings, found {type(one).__name__}")

    return form(value), tensors


def decode(form: Any, tensors: Mapping[str, Tensor]) -> Any:
    """What :func:`encode` was given; each tensor and array has memory of its own."""
    if isinstance(form, list):
        return [decode(each, tensors) for each in form]
    if not isinstance(form, dict):
        return form
    [(kind, value)] = form.items()
    if kind == "tuple":
        return tuple(decode(each, tensors) for each in value)
    if kind == "dict":
        return {decode(key, tensors): decode(each, tensors) for key, each in value}
    tensor = tensors[value].clone()
    if kind == "tensor":
        return tensor
    return tensor.numpy()[()] if kind == "scalar" else tensor.numpy()
