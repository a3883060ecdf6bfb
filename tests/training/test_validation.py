import numpy as np
import torch

from panolink.codec.networks.autoencoder import PROFILES, Autoencoder
from panolink.training.codebook_ema import CodebookAverager
from panolink.training.context_rate import ContextRate
from panolink.training.data import PanoramaCache
from panolink.training.validation import OPERATING_POINTS, RATES, shrink, validate


def test_a_panorama_is_scaled_or_taken_as_it_is():
    panorama = np.arange(32 * 64 * 3, dtype=np.uint8).reshape(32, 64, 3)
    assert np.array_equal(shrink(panorama, 64), panorama)
    assert shrink(panorama, 32).shape == (16, 32, 3)


def test_figures_at_every_operating_point_and_rate_and_nothing_else_changes(cache: PanoramaCache, small_profiles):
    torch.manual_seed(0)
    model = Autoencoder(PROFILES["base"]).train()
    torch.nn.init.constant_(model.encoder.body[-1].weight, 10.0)  # type: ignore[index, arg-type]
    averager, context = CodebookAverager(*model.codebook.shape), ContextRate(model.codebook)
    averager.spread += 10
    averager.weight += 1
    before = {name: value.clone() for part in (model, averager, context) for name, value in part.state_dict().items()}
    panorama = cache.panorama(0)
    device = torch.device("cpu")
    plain = validate(model, averager, [panorama], device=device)
    known = validate(model, averager, [panorama], device=device, context=context)
    assert model.training
    for part in (model, averager, context):
        assert all(torch.equal(value, before[name]) for name, value in part.state_dict().items())
    for found in (plain, known):
        assert {f"vpsnr_at_{rate}" for rate in RATES} < set(found) and 0 <= found["idle"] <= 1
        bpp = [found[f"bpp{number}"] for number in range(len(OPERATING_POINTS) + 1)]
        assert bpp == sorted(bpp) and bpp[0] > 0, "finer steps take more bits, the base layer alone least"
    assert plain["bpp0"] == known["bpp0"] and plain["bpp3"] != known["bpp3"], "the context prices features alone"
