from pathlib import Path

import torch
from safetensors.torch import save_file

from panolink.training.weight_average import WeightAverage, mean_state


def test_weights_are_averaged_and_counts_copied():
    state = {"w": torch.zeros(3), "n": torch.tensor(1), "averager.count": torch.zeros(2)}
    average = WeightAverage(state)
    state["w"].fill_(1.0)
    state["n"].fill_(5)
    state["averager.count"].fill_(2.0)
    average.update(0.75)
    assert average.values["w"].tolist() == [0.25] * 3
    assert int(average.values["n"]) == 5 and average.values["averager.count"].tolist() == [2.0, 2.0]


def test_the_mean_of_snapshots(tmp_path: Path):
    files = []
    for number in range(3):
        files.append(tmp_path / f"{number}.safetensors")
        save_file({"w": torch.full((2,), float(number)), "averager.count": torch.full((1,), float(number))}, files[-1])
    mean = mean_state(files)
    assert mean["w"].tolist() == [1.0, 1.0] and mean["averager.count"].tolist() == [2.0], "sums are the last one's"
