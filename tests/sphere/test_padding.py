import torch

from panolink.sphere.padding import pad_sphere


def test_padding_wraps_columns_and_repeats_rows():
    grid = torch.arange(12.0).view(1, 1, 3, 4)
    padded = pad_sphere(grid, 1)[0, 0]
    assert padded[1].tolist() == [3, 0, 1, 2, 3, 0]
    assert padded[0].tolist() == padded[1].tolist()
    assert padded[-1].tolist() == [11, 8, 9, 10, 11, 8]
    assert pad_sphere(grid, 1, wrap=False)[0, 0, 1].tolist() == [0, 0, 1, 2, 3, 3]
