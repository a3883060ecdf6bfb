import torch

from panolink.codec.quantization.activation_map import COMMITMENT, activation_map, commitment_gradient, error_map


def by_back_propagation(features: torch.Tensor, codes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Formulas (4) to (6) as the paper words them: back-propagate the quantisation loss to the last feature layer."""
    leaf = features.clone().requires_grad_()
    loss = ((leaf.detach() - codes) ** 2).mean() + COMMITMENT * ((leaf - codes.detach()) ** 2).mean()
    (gradient,) = torch.autograd.grad(loss, leaf)
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    activation = torch.relu((weights * features).sum(dim=1))
    return gradient, activation / activation.max()


def test_closed_form_is_what_autograd_gives():
    torch.manual_seed(0)
    features, codes = torch.randn(2, 1, 24, 6, 12).unbind(0)
    gradient, activation = by_back_propagation(features, codes)
    torch.testing.assert_close(commitment_gradient(features, codes), gradient)
    torch.testing.assert_close(activation_map(features, codes), activation)


def test_maps_are_scaled_per_image_to_one():
    torch.manual_seed(0)
    features, codes = torch.randn(2, 3, 8, 5, 7).unbind(0)
    for scores in (activation_map(features, codes), error_map(features, codes)):
        assert scores.shape == (3, 5, 7)
        assert scores.min() >= 0
        torch.testing.assert_close(scores.amax(dim=(1, 2)), torch.ones(3))


def test_no_distortion_gives_an_empty_map():
    features = torch.randn(1, 8, 4, 4)
    assert activation_map(features, features).count_nonzero() == 0
    assert error_map(features, features).count_nonzero() == 0
