"""A small BERT-shaped encoder and a byte-level BPE tokenizer, written as an ordinary model folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from benchmark.config import SCRATCH_LAYERS
from benchmark.seeds import derive

VOCABULARY = (500, 8000)  # 256 bytes and special tokens included
BYTES_PER_TOKEN = 80  # of text for each entry: in a smaller text most merges would be whole words seen twice
HIDDEN, HEADS, FEED_FORWARD, POSITIONS = 128, 4, 512, 512


def build(folder: Path, texts: Sequence[str], seed: int) -> None:
    """Train the tokenizer on ``texts`` and initialise the encoder from ``seed``."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # type: ignore[no-untyped-call]
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    size = sum(len(text.encode()) for text in texts)
    trainer = trainers.BpeTrainer(
        vocab_size=min(VOCABULARY[1], max(VOCABULARY[0], size // BYTES_PER_TOKEN)),
        min_frequency=2,
        special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", tokenizer.token_to_id("[CLS]")), ("[SEP]", tokenizer.token_to_id("[SEP]"))],
    )
    fast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        model_max_length=POSITIONS,
    )
    fast.save_pretrained(folder)
    torch.manual_seed(derive(seed, "scratch"))
    config = BertConfig(
        vocab_size=len(fast),
        hidden_size=HIDDEN,
        num_hidden_layers=SCRATCH_LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=FEED_FORWARD,
        max_position_embeddings=POSITIONS,
        pad_token_id=fast.pad_token_id,
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
