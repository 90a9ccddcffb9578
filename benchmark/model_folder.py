"""What a model folder of anybody's may hold: its JSON is read within bounds, and what would bring code is refused.

Nothing is ever run that lies in the folder or that it names. A model whose architecture is in transformers is
loaded by that, whatever code lies beside it; one that cannot do without its code is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmark.errors import UserError
from tasks.base import DataError
from tasks.sources import one_line, opened

INDICES = ("*.safetensors.index.json", "pytorch_model*.bin.index.json")  # of weights in several files
_LARGEST = 2**26  # bytes of a JSON file; tokenizer.json, which is larger, is not read here
_LAYERS = ("num_hidden_layers", "num_layers", "n_layer", "n_layers", "encoder_layers")
_MOST_LAYERS = 1000
_SENTENCE = "sentence_transformers."


class ModelMissing(UserError):  # noqa: N818 - reads as a sentence where it is caught
    """A model that was named as it should be, and cannot be had, not as a whole, or not without running code."""


def checked(folder: Path, sentence: bool = False) -> None:
    """Look at the JSON files of a folder, before anything is loaded from it.

    Raises:
        ModelMissing: one of them is none, or asks for what is refused.
    """
    config = _object(folder / "config.json")
    if not isinstance(config.get("model_type"), str):
        found = _shown(config.get("model_type"))
        raise ModelMissing(f"{folder}/config.json: model_type must name an architecture; found {found}")
    _no_code(folder, config)
    for key, value in _items(config):
        if key.endswith("_implementation") and "/" in str(value):
            raise ModelMissing(
                f"{folder}: kernels from the hub are code, which is not run; allowed: a model without; "
                f"found {key} {_shown(value)}"
            )
        if key in _LAYERS and value is not None and not _is_count(value):
            raise ModelMissing(
                f"{folder}/config.json: {key} must be a whole number of at most {_MOST_LAYERS}; "
                f"found {_shown(value)}"
            )
    if config.get("quantization_config"):
        raise ModelMissing(f"{folder}: a quantised model cannot be trained; found quantization_config")
    if (folder / "adapter_config.json").exists():
        raise ModelMissing(f"{folder}: a whole model is needed; found an adapter (adapter_config.json)")
    if (folder / "tokenizer_config.json").exists():
        _object(folder / "tokenizer_config.json")
    for pattern in INDICES:
        for path in sorted(folder.glob(pattern)):
            _inside(path)
    if sentence and (folder / "modules.json").exists():
        _modules(folder / "modules.json")


def _no_code(folder: Path, config: dict[str, Any]) -> None:
    if not config.get("auto_map"):
        return
    from transformers import CONFIG_MAPPING

    if config["model_type"] not in CONFIG_MAPPING:
        raise ModelMissing(
            f"{folder}: the model comes with code of its own (auto_map), which is not run; allowed: an "
            f"architecture that transformers has; found {_shown(config['model_type'])}"
        )


def _inside(path: Path) -> None:
    """The files that an index names lie beside it: a digest of the folder is one of the model."""
    named = _object(path).get("weight_map")
    names = list(named.values()) if isinstance(named, dict) else [named]
    for name in names:
        if not isinstance(name, str) or not name or name in (".", "..") or "/" in name or "\\" in name:
            raise ModelMissing(f"{path}: names of files in the same folder are needed; found {_shown(name)}")


def _modules(path: Path) -> None:
    modules = read_json(path)
    for one in modules if isinstance(modules, list) else [modules]:
        given = (one.get("type"), one.get("path")) if isinstance(one, dict) else (None, None)
        kind, inside = given
        if not isinstance(kind, str) or not isinstance(inside, str):
            raise ModelMissing(f"{path}: a list of modules with type and path is needed; found {_shown(one)}")
        if not kind.startswith(_SENTENCE):
            raise ModelMissing(
                f"{path}: a module of the model's own is code, which is not run; allowed: those of "
                f"sentence-transformers; found {_shown(kind)}"
            )
        if Path(inside).is_absolute() or ".." in Path(inside).parts:
            raise ModelMissing(f"{path}: folders inside the model's are needed; found {_shown(inside)}")


def read_json(path: Path) -> Any:
    """The content of a JSON file that anybody may have written.

    Raises:
        ModelMissing: it cannot be read, is too large, or is none.
    """
    try:
        with opened(path) as file:
            content = file.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise ValueError(f"more than {_LARGEST} bytes")
        return json.loads(content.decode("utf8"))
    except DataError as error:
        raise ModelMissing(str(error)) from error
    except (OSError, ValueError, RecursionError) as error:
        raise ModelMissing(f"{path}: JSON is needed; found: {one_line(error)}") from error


def _object(path: Path) -> dict[str, Any]:
    found = read_json(path)
    if not isinstance(found, dict):
        raise ModelMissing(f"{path}: a JSON object is needed; found {_shown(found)}")
    return found


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    """Keys and values of a mapping, and of those inside it."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            yield from one.items()
        if isinstance(one, dict | list):
            waiting += one.values() if isinstance(one, dict) else one


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and 0 <= value <= _MOST_LAYERS


def _shown(value: Any) -> str:
    try:
        text = " ".join(repr(value).split())
    except (RecursionError, ValueError):  # nested too deeply, or a number too long to print
        text = type(value).__name__
    return text if len(text) <= 80 else f"{text[:80]}…"
