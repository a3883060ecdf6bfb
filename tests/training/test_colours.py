import pytest
import torch

from panolink.training.colours import with_strong_colours


def test_some_pictures_become_far_more_saturated_and_keep_their_light():
    torch.manual_seed(0)
    pixels = 128 + 10 * torch.randn(400, 3, 8, 8)
    changed = with_strong_colours(pixels, 0.25)
    other = (changed != pixels).flatten(1).any(dim=1)
    assert other.float().mean() == pytest.approx(0.25, abs=0.05)
    chroma = [(x - x.mean(dim=1, keepdim=True)).square().mean() for x in (pixels[other], changed[other])]
    assert chroma[1] > 4 * chroma[0]
    clipped = ((changed <= 0) | (changed >= 255)).any(dim=1)
    torch.testing.assert_close(changed.mean(dim=1)[~clipped], pixels.mean(dim=1)[~clipped], rtol=0, atol=0.01)
    assert changed.min() >= 0 and changed.max() <= 255


def test_every_hue_comes():
    torch.manual_seed(0)
    reddish = torch.tensor([140.0, 120.0, 118.0])[None, :, None, None].expand(200, 3, 2, 2)
    most = with_strong_colours(reddish, 1.0)[:, :, 0, 0].argmax(dim=1)
    assert set(most.tolist()) == {0, 1, 2}


def test_none_change_where_none_shall():
    pixels = 255 * torch.rand(3, 3, 4, 4)
    assert torch.equal(with_strong_colours(pixels, 0.0), pixels)
