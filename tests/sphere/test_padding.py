import pytest
import torch

from panolink.sphere.padding import pad_between, pad_sphere


def test_padding_wraps_columns_and_repeats_rows():
    grid = torch.arange(12.0).view(1, 1, 3, 4)
    padded = pad_sphere(grid, 1)[0, 0]
    assert padded[1].tolist() == [3, 0, 1, 2, 3, 0]
    assert padded[0].tolist() == padded[1].tolist()
    assert padded[-1].tolist() == [11, 8, 9, 10, 11, 8]
    assert pad_sphere(grid, 1, wrap=False)[0, 0, 1].tolist() == [0, 0, 1, 2, 3, 3]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("above", "below", "margin"), [(1, 1, 1), (2, 0, 1), (0, 3, 2), (0, 0, 0)])
def test_rows_go_between_others_in_one_copy_of_the_same_layout(
    layout: torch.memory_format, above: int, below: int, margin: int
):
    whole = torch.rand(2, 3, above + 4 + below, 5).contiguous(memory_format=layout)
    top, x, bottom = whole.split([above, 4, below], dim=-2)
    padded = pad_between(x, top, bottom, margin)
    columns = [whole[..., 5 - margin :], whole, whole[..., :margin]]
    assert torch.equal(padded, torch.cat(columns, dim=-1))
    assert padded.is_contiguous(memory_format=layout)


def test_gradients_go_through_the_padding():
    x = torch.rand(1, 2, 3, 4, requires_grad=True)
    pad_sphere(x, 1).sum().backward()
    # corners of the picture are seen four times: by the pole's row, by the other side's column, and by both
    assert x.grad is not None and x.grad[0, 0].tolist() == [[4, 2, 2, 4], [2, 1, 1, 2], [4, 2, 2, 4]]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("size", "margin"), [((3, 4), 2), ((1, 4), 1), ((5, 2), 2), ((1, 1), 1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_its_gradient_is_that_of_its_parts(
    layout: torch.memory_format, size: tuple[int, int], margin: int, dtype: torch.dtype
):
    start = torch.rand(2, 3, *size).to(dtype).contiguous(memory_format=layout)
    found = []
    for pad in (
        pad_sphere,
        torch.compile(pad_sphere, backend="aot_eager"),
        lambda x, m: pad_between(x, x[..., :1, :].expand(-1, -1, m, -1), x[..., -1:, :].expand(-1, -1, m, -1), m),
    ):
        x = start.clone().requires_grad_()
        padded = pad(x, margin)
        seen = torch.arange(float(padded.numel())).view_as(padded).contiguous(memory_format=layout)
        found.append((padded.detach(), torch.autograd.grad(padded, x, seen.to(dtype))[0]))
    for padded, gradient in found[:2]:
        assert torch.equal(padded, found[2][0])
        torch.testing.assert_close(gradient, found[2][1])


def test_compiled_padding_is_the_same_with_its_gradients():
    """Compilers get other parts: they cannot merge those of `F.pad`, and find its gradient in the wrong layout."""
    found = []
    for pad in (pad_sphere, torch.compile(pad_sphere, backend="aot_eager")):
        x = torch.arange(24.0).view(1, 2, 3, 4).requires_grad_()
        padded = pad(x, 2, wrap=False)
        (padded * torch.arange(padded.numel()).view_as(padded)).sum().backward()
        found.append((padded.detach(), x.grad))
    assert torch.equal(found[0][0], found[1][0])
    assert found[0][1] is not None and torch.equal(found[0][1], found[1][1])  # type: ignore[arg-type]
