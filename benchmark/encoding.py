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
from tasks.sources import one_line


@dataclass
class Encoder:
    """Turns examples into ``tokens`` objects of the store with one model's tokenizer."""

    store: Store
    folder: Path
    model_digest: str
    max_length: int
    _tokenizer: Any = field(default=None, repr=False)

    def key(self, fingerprint: str) -> str:
        """The key of the encoded examples of this fingerprint, whether or not the store holds them."""
        return digest(["tokens", 1, self.model_digest, fingerprint, self.max_length])

    def encode(self, key: str, examples: Sequence[Example]) -> None:
        """Make the encoded examples, whose key it is, if the store does not hold them."""
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
                raise UserError(f"the tokenizer of {self.folder} cannot be loaded: {one_line(error)}") from error
        return self._tokenizer

    def _write(self, folder: Path, examples: Sequence[Example]) -> None:
        tokenizer = self._load()
        is_tagged = any(example.tags for example in examples)
        rows = self._windows(tokenizer, examples) if is_tagged else self._texts(tokenizer, examples)
        ids = [row.ids for row in rows]
        offsets = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum([len(row) for row in ids], out=offsets[1:])
        owners = np.array([row.owner for row in rows], dtype=np.int64)
        labels = np.array([example.label for example in examples], dtype=np.int64)
        halves = np.array([half(example) for example in examples], dtype=np.int8)
        np.save(folder / "ids.npy", np.array([i for row in ids for i in row], dtype=np.int32))
        if any(row.types for row in rows):
            np.save(folder / "types.npy", np.array([i for row in rows for i in row.types], dtype=np.int8))
        if is_tagged:
            np.save(folder / "tags.npy", np.array([i for row in rows for i in row.tags], dtype=np.int16))
            np.save(folder / "owners.npy", owners)
        np.save(folder / "offsets.npy", offsets)
        np.save(folder / "labels.npy", labels[owners])
        np.save(folder / "halves.npy", halves[owners])
        meta = {"pad": tokenizer.pad_token_id or 0, "special": sorted(set(tokenizer.all_special_ids))}
        (folder / "meta.json").write_text(json.dumps(meta), "utf8")

    def _texts(self, tokenizer: Any, examples: Sequence[Example]) -> list[_Row]:
        """Texts, or pairs of texts, cut where they are too long; the longer of a pair first."""
        paired = any(example.pair is not None for example in examples)
        if not examples:
            return []
        encoded = tokenizer(
            [example.text for example in examples],
            [example.pair for example in examples] if paired else None,
            truncation=True,
            max_length=self.max_length,
            return_attention_mask=False,
        )
        types = encoded["token_type_ids"] if paired and "token_type_ids" in encoded else [[] for _ in examples]
        return [_Row(i, ids, types[i]) for i, ids in enumerate(encoded["input_ids"])]

    def _windows(self, tokenizer: Any, examples: Sequence[Example]) -> list[_Row]:
        """Tagged tokens: as many rows for a sentence as it takes, so that every word has its place.

        The tag of a word stands at its first subword. A word of which a tokenizer leaves nothing (a
        zero-width character) is its unknown token.
        """
        if not tokenizer.is_fast:
            raise UserError(f"the tokenizer of {self.folder} does not say which word a token is of")
        words = [list(example.tokens) for example in examples]
        encoded = self._split(tokenizer, words)
        placed = [set[int]() for _ in examples]
        for number, owner in enumerate(encoded["overflow_to_sample_mapping"]):
            placed[owner].update(word for word in encoded.word_ids(number) if word is not None)
        lost = [(i, word) for i, of in enumerate(words) for word in range(len(of)) if word not in placed[i]]
        if lost:
            for i, word in lost:
                words[i][word] = tokenizer.unk_token
            encoded = self._split(tokenizer, words)
        rows: list[_Row] = []
        done = [-1] * len(examples)  # the last word of each sentence that has its tag
        for number, owner in enumerate(encoded["overflow_to_sample_mapping"]):
            tags = []
            for word in encoded.word_ids(number):
                first = word is not None and word > done[owner]
                tags.append(examples[owner].tags[word] if first else -1)
                done[owner] = word if first else done[owner]
            if max(tags) >= 0:  # else a window inside one long word
                rows.append(_Row(owner, encoded["input_ids"][number], [], tags))
        return rows

    def _split(self, tokenizer: Any, words: Sequence[Sequence[str]]) -> Any:
        return tokenizer(
            words,
            is_split_into_words=True,
            truncation=True,
            max_length=self.max_length,
            return_overflowing_tokens=True,
            return_attention_mask=False,
        )

    def counts(self, key: str) -> Counter[int]:
        """How often each token id occurs in encoded examples, special ones left out."""
        folder = self.store.path(key)
        ids, counts = np.unique(np.load(folder / "ids.npy", allow_pickle=False), return_counts=True)
        special = set(json.loads((folder / "meta.json").read_text("utf8"))["special"])
        return Counter({int(i): int(count) for i, count in zip(ids, counts, strict=True) if int(i) not in special})


@dataclass(frozen=True)
class _Row:
    owner: int  # place of the example
    ids: list[int]
    types: list[int]
    tags: list[int] = field(default_factory=list)


def half(example: Example) -> int:
    """0 or 1, from a hash: an item is in one half in every language."""
    return hashlib.sha256(f"half|{example.item or example.text}".encode()).digest()[0] & 1
