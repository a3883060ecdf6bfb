"""Costs on a device, here a CPU, are those on the host; and so are the tokens that a codec makes of them."""

import numpy as np
import pytest
import torch

from panolink.codec.codec import Codec
from panolink.codec.entropy.coder import SliceCoder
from panolink.codec.entropy.device_context import DeviceFeatureContext
from panolink.codec.quantization.vector_quantizer import look_up
from panolink.codec.rate_control.rd_cost import TokenCostModel
from panolink.codec.rate_control.rd_cost_device import DeviceTables, DeviceTokenCostModel


@pytest.mark.parametrize("whole", [True, False])
def test_costs_are_the_same(tiny: Codec, panorama: np.ndarray, whole: bool):
    (features,) = tiny.extract([panorama])
    found = tiny.quantizer.nearest_code(features)
    difference = (features - look_up(found, tiny.network.codebook))[0].permute(1, 2, 0).flatten(0, 1)
    tables, lengths, indices = tiny.model.tables, tiny.model.tables.code_lengths(), found[0].numpy()
    context = DeviceFeatureContext(tables.feature_context, torch.device("cpu"))
    there = DeviceTables(tables, lengths, context, torch.device("cpu"))
    host = TokenCostModel(tables, lengths, indices, difference, whole=whole)
    device = DeviceTokenCostModel(tables, lengths, indices, difference, whole=whole, there=there)
    kept = np.random.default_rng(0).random(indices.size) < 0.6
    part = np.arange(1, indices.size, 5)
    for one, other in (
        (host.at(2, 0.1), device.at(2, 0.1)),
        (
            host.with_neighbours(host.at(4, 0.05), 4, 0.05, kept),
            device.with_neighbours(device.at(4, 0.05), 4, 0.05, kept),
        ),
        (host.from_index_context(6, 0.1, part), device.from_index_context(6, 0.1, part)),
        (host.from_index_context(6, 0.1, symbols=False), device.from_index_context(6, 0.1, symbols=False)),
    ):
        assert np.array_equal(one.symbols, other.symbols)
        assert np.array_equal(one.bits, other.bits) and np.array_equal(one.gain, other.gain)
    predicted = [
        model.context_of(model.with_neighbours(model.at(4, 0.05), 4, 0.05, kept), kept) for model in (host, device)
    ]
    assert predicted[0] and predicted[1] and len(predicted[0].shifts) == kept.sum()
    assert np.array_equal(predicted[0].shifts, predicted[1].shifts)
    assert np.array_equal(predicted[0].log_odds, predicted[1].log_odds)


@pytest.mark.parametrize("robust", [True, False])
def test_packets_are_the_same(tiny: Codec, panorama: np.ndarray, robust: bool):
    expected = tiny.encode(panorama, bpp=0.3, robust=robust)
    device = torch.device("cpu")
    tiny.quantizer.coder = coder = SliceCoder(tiny.model.tables, device)
    assert coder.there
    tiny.quantizer._there = DeviceTables(tiny.model.tables, coder.lengths, coder.there, device)
    packet = tiny.encode(panorama, bpp=0.3, robust=robust)
    assert packet.to_bytes() == expected.to_bytes()
    found, on_host = tiny.unpack(packet), Codec(tiny.model, device="cpu").unpack(packet)
    assert np.array_equal(found.indices, on_host.indices) and np.array_equal(found.symbols, on_host.symbols)
    assert found.kept.any()
