"""What is priced is what is coded: bits and symbols, token by token, in both halves of a grid."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from panolink.codec.codec import Codec
from panolink.codec.entropy.feature_coding import encode_features
from panolink.codec.quantization.vector_quantizer import look_up, nearest_code
from panolink.codec.rate_control.controller import RD_LAMBDA
from panolink.codec.rate_control.rd_cost import TokenCostModel
from panolink.codec.resolution import WHOLE
from panolink.codec.tokens import Tokens, VectorQuantized
from panolink.images import load_panorama
from panolink.training.fit_feature_context import neutral_feature_context


@pytest.fixture
def pricing(tiny: Codec, panorama: np.ndarray) -> TokenCostModel:
    (features,) = tiny.extract([panorama])
    found = nearest_code(features, tiny.network.codebook)
    difference = (features - look_up(found, tiny.network.codebook))[0].permute(1, 2, 0).flatten(0, 1)
    tables = tiny.model.tables
    return TokenCostModel(tables, tables.code_lengths(), found[0].numpy(), difference.float(), whole=True)


def test_a_part_is_priced_as_the_whole(pricing: TokenCostModel):
    everything = pricing.from_index_context(4, RD_LAMBDA)
    part = np.arange(3, pricing.first.size, 7)
    some, costs = (pricing.from_index_context(4, RD_LAMBDA, part, symbols=wanted) for wanted in (True, False))
    assert np.array_equal(some.symbols, everything.symbols[part]) and not costs.symbols.size
    assert np.array_equal(some.bits, everything.bits[part]) and np.array_equal(costs.bits, some.bits)
    assert np.array_equal(some.gain, everything.gain[part]) and np.array_equal(costs.gain, some.gain)


def test_features_less_a_codebook_are_the_differences(tiny: Codec, panorama: np.ndarray, pricing: TokenCostModel):
    """To the bit, and without the memory that differences take."""
    (features,) = tiny.extract([panorama])
    tables, codebook = tiny.model.tables, tiny.network.codebook
    base = VectorQuantized(panorama.shape[:2], WHOLE, features, codebook, pricing.indices, 1, (0,))
    assert torch.equal(base.residual, pricing.difference)
    lengths = tables.code_lengths()
    late = TokenCostModel(tables, lengths, pricing.indices, base.by_token, whole=True, codebook=codebook)
    assert np.shares_memory(late._values, features.numpy())
    for step in (-4, 8):
        one, other = pricing.at(step, RD_LAMBDA), late.at(step, RD_LAMBDA)
        assert np.array_equal(one.symbols, other.symbols)
        assert np.array_equal(one.bits, other.bits) and np.array_equal(one.gain, other.gain)


def test_the_first_half_knows_codes_only(pricing: TokenCostModel):
    alone, informed = pricing.from_index_context(0, RD_LAMBDA), pricing.at(0, RD_LAMBDA)
    assert np.array_equal(informed.bits[pricing.first], alone.bits[pricing.first])
    assert not np.array_equal(informed.bits[~pricing.first], alone.bits[~pricing.first])
    untold = pricing.with_neighbours(
        pricing.from_index_context(0, RD_LAMBDA), 0, RD_LAMBDA, np.zeros(pricing.first.size, dtype=bool)
    )
    assert np.array_equal(untold.bits, alone.bits)
    again = pricing.with_first(alone, 6, RD_LAMBDA)
    coarse = pricing.from_index_context(6, RD_LAMBDA)
    assert np.array_equal(again.symbols[pricing.first], coarse.symbols[pricing.first])
    assert np.array_equal(again.symbols[~pricing.first], alone.symbols[~pricing.first])


@pytest.mark.parametrize("step", [-4, 2, 8])
def test_priced_bits_are_written(tiny: Codec, pricing: TokenCostModel, step: int):
    kept = torch.rand(pricing.first.size, generator=torch.Generator().manual_seed(1)).numpy() < 0.7
    priced = pricing.with_neighbours(pricing.from_index_context(step, RD_LAMBDA), step, RD_LAMBDA, kept)
    rows, cols = pricing.indices.shape
    tokens = Tokens(
        width=16 * cols,
        height=16 * rows,
        step=step,
        indices=pricing.indices,
        kept=kept.reshape(rows, cols),
        symbols=priced.symbols[kept].astype(np.int32),
    )
    (payload,) = encode_features(tiny.quantizer.coder, tokens)
    assert 8 * len(payload) == pytest.approx(float(priced.bits[kept].sum()), abs=48)


def test_the_feature_context_saves_bits(samples: list[Path]):
    """Of the tables that ship: codes around a token save some bits, differences on its four sides more."""
    codec, image = Codec.load("base", device="cpu"), load_panorama(samples[0])
    (features,) = codec.extract([image])
    found = nearest_code(features, codec.network.codebook)
    difference = (features - look_up(found, codec.network.codebook))[0].permute(1, 2, 0).flatten(0, 1).float()
    tables = codec.model.tables
    silent = neutral_feature_context(codec.network.codebook, tables.levels)
    bits = {}
    for name, network in (("none", silent), ("some", tables.feature_context)):
        chosen = replace(tables, feature_context=network)
        priced = TokenCostModel(chosen, tables.code_lengths(), found[0].numpy(), difference, whole=True)
        kept = priced.from_index_context(4, RD_LAMBDA).pays(RD_LAMBDA)
        for known, all_of in (("codes", priced.from_index_context(4, RD_LAMBDA)), ("sides", priced.at(4, RD_LAMBDA))):
            bits[name, known] = float(all_of.bits[kept & ~priced.first].sum())
    assert bits["none", "codes"] == bits["none", "sides"]
    assert bits["some", "sides"] < 0.97 * bits["some", "codes"] < 0.97 * 0.99 * bits["none", "codes"]
