"""In torch operations, on each device that is here, an integer network has the same outputs."""

import numpy as np
import pytest
import torch

from panolink.codec.entropy.device_network import DeviceIntegerNetwork, exact_product
from tests.codec.entropy.integer_networks import random_integer_network

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.mark.parametrize("device", DEVICES)
def test_outputs_are_the_same(device: str):
    network = random_integer_network(6, 16, 10)
    total = np.random.default_rng(0).integers(-(1 << 15), 1 << 15, (50, 16)).astype(np.int32)
    found = DeviceIntegerNetwork(network, torch.device(device)).after_first(torch.from_numpy(total).to(device))
    assert found.dtype == torch.int32 and np.array_equal(found.cpu().numpy(), network.after_first(total))


@pytest.mark.parametrize("device", DEVICES)
def test_products_are_exact_up_to_2_to_the_24th(device: str):
    a, b = torch.full((40, 512), 255.0, device=device), torch.full((512, 24), 127.0, device=device)
    a[:, 0] = 254
    assert (exact_product(a, b) == 255 * 127 * 512 - 127).all()
