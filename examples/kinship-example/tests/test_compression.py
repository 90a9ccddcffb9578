"""What every measure has to keep, and what this one is about."""

import random

import pytest
from kinship_example import COMPRESSORS, Compression, similarity

from benchmark.testing import check_measure


@pytest.mark.parametrize("compressor", COMPRESSORS)
def test_it_is_a_measure(compressor):
    check_measure(Compression(compressor=compressor))


@pytest.mark.parametrize("compress", COMPRESSORS.values())
def test_a_text_is_like_itself_and_unlike_noise(compress):
    noise = random.Random(0)
    one, other = noise.randbytes(5000), noise.randbytes(5000)
    assert similarity(one, one, compress) > 0.7
    assert similarity(one, other, compress) < 0.1
    assert similarity(one, other, compress) == similarity(other, one, compress)
