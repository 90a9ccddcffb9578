"""Examples as token ids: made once per tokenizer and content, kept in the store, memory-mapped."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.errors import UserError
from benchmark.seeds import digest
from benchmark.store import Store
from tasks.base import Example
from tasks.sources import fingerprint


@dataclass
class Encoder:
    """Turns examples into ``tokens`` objects of the store with one model's tokenizer."""

    store: Store
    folder: Path
    model_digest: str
    max_length: int
    _tokenizer: Any = field(default=None, repr=False)

    def key(self, examples: Sequence[Example]) -> str:
        """The key of the encoded examples, whether or not the store holds them."""
        return digest(["tokens", 1, self.model_digest, fingerprint(examples), self.max_length])

    def encode(self, examples: Sequence[Example]) -> None:
        """Make the encoded examples if the store does not hold them."""
        key = self.key(examples)
        if self.store.has(key):
            return
        with self.store.lock(key):
            if not self.store.has(key):
                about = {"kind": "tokens", "model": self.model_digest, "examples": len(examples)}
                self.store.put(key, lambda folder: self._write(folder, examples), about)

    def _load(self) -> Any:
        if self._tokenizer is None:
            from transformers import AutoTokenizer

            try:
                self._tokenizer = AutoTokenizer.from_pretrained(
                    self.folder, local_files_only=True, trust_remote_code=False
                )
            except Exception as error:  # whatever a foreign folder makes the library say
                text = " ".join(str(error).split())
                raise UserError(f"the tokenizer of {self.folder} cannot be loaded: {text}") from error
        return self._tokenizer

    def _write(self, folder: Path, examples: Sequence[Example]) -> None:
        tokenizer = self._load()
        paired = any(example.pair is not None for example in examples)
        encoded: dict[str, Any] = {"input_ids": []}
        if examples:
            encoded = tokenizer(
                [example.text for example in examples],
                [example.pair for example in examples] if paired else None,
                truncation=True,
                max_length=self.max_length,
                return_attention_mask=False,
            )
        rows = encoded["input_ids"]
        offsets = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum([len(row) for row in rows], out=offsets[1:])
        np.save(folder / "ids.npy", np.array([i for row in rows for i in row], dtype=np.int32))
        if paired and "token_type_ids" in encoded:
            types = [i for row in encoded["token_type_ids"] for i in row]
            np.save(folder / "types.npy", np.array(types, dtype=np.int8))
        np.save(folder / "offsets.npy", offsets)
        np.save(folder / "labels.npy", np.array([example.label for example in examples], dtype=np.int64))
        np.save(folder / "halves.npy", np.array([half(example) for example in examples], dtype=np.int8))
        meta = {"pad": tokenizer.pad_token_id or 0, "special": sorted(set(tokenizer.all_special_ids))}
        (folder / "meta.json").write_text(json.dumps(meta), "utf8")

    def counts(self, key: str) -> Counter[int]:
        """How often each token id occurs in encoded examples, special ones left out."""
        folder = self.store.path(key)
        ids, counts = np.unique(np.load(folder / "ids.npy"), return_counts=True)
        special = set(json.loads((folder / "meta.json").read_text("utf8"))["special"])
        return Counter({int(i): int(count) for i, count in zip(ids, counts, strict=True) if int(i) not in special})


def half(example: Example) -> int:
    """0 or 1, from a hash: an item is in one half in every language."""
    return hashlib.sha256(f"half|{example.item or example.text}".encode()).digest()[0] & 1
