"""What several processes share, with two real ones, and what a single one does without asking anybody."""

import time
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from panolink.training.distributed import average_gradients, cpu_hours, of_first

CPU = torch.device("cpu")


def module(gradient: float) -> torch.nn.Module:
    made = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 1))
    made[0].weight.grad = torch.full((2, 3), gradient)
    made[1].bias.grad = torch.full((1,), 10 * gradient)
    return made


def process(rank: int, folder: str) -> None:
    """One of two: rank 0 says 5, rank 1 says 7."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    said = of_first(5.0 + 2 * rank, CPU)
    averaged = module(1.0 + 2 * rank)
    average_gradients(averaged)
    torch.save((said, averaged[0].weight.grad, averaged[1].bias.grad), f"{folder}/{rank}.pt")  # type: ignore[index]
    dist.destroy_process_group()


def test_alone_nothing_changes() -> None:
    assert of_first(3.5, CPU) == 3.5
    alone = module(4.0)
    average_gradients(alone)
    assert torch.equal(alone[0].weight.grad, torch.full((2, 3), 4.0))  # type: ignore[index]


def test_processor_time_is_that_of_this_process() -> None:
    before, start = cpu_hours(), time.process_time()
    while time.process_time() - start < 0.05:
        pass
    assert 0.04 < (cpu_hours() - before) * 3600 < 5


@pytest.mark.slow
def test_two_take_the_first_one_s_word_and_the_mean_of_both_gradients(tmp_path: Path) -> None:
    mp.spawn(process, args=(str(tmp_path),), nprocs=2)
    for rank in (0, 1):
        said, weight, bias = torch.load(tmp_path / f"{rank}.pt")
        assert said == 5.0
        assert torch.equal(weight, torch.full((2, 3), 2.0)) and torch.equal(bias, torch.full((1,), 20.0))
