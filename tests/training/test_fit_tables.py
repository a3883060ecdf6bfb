from pathlib import Path

import numpy as np
import pytest
import torch

from panolink.codec.networks.autoencoder import PROFILES, Autoencoder
from panolink.training.data import PanoramaCache
from panolink.training.fit_tables import fit_tables

SAMPLES = Path(__file__).parent.parent.parent / "samples"


@pytest.mark.slow
def test_distributions_are_counted_on_the_first_panoramas_alone(cache: PanoramaCache, small_profiles):
    torch.manual_seed(0)
    network = Autoencoder(PROFILES["base"])
    torch.nn.init.normal_(network.encoder.transform.weight, std=0.05)  # type: ignore[union-attr]
    first, second = cache.panorama(0), cache.panorama(1)
    alone, both = fit_tables(network, [first]), fit_tables(network, [first, second], counted=1)
    np.testing.assert_array_equal(both.code_frequencies, alone.code_frequencies)
    np.testing.assert_array_equal(both.levels, alone.levels)
    assert (both.index_context.embedding != alone.index_context.embedding).any(), "networks see both"
    assert (both.feature_context.embedding != alone.feature_context.embedding).any()
