"""Gazes of viewers without eyes."""

from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
import typer

from panolink.cli.gazes import follow, read_gazes
from panolink.errors import PanolinkError
from panolink.sphere.focus import Focus


def test_a_direction():
    assert read_gazes("90,-10") == [(0.0, Focus(90, -10))]
    assert read_gazes("90,-10,60") == [(0.0, Focus(90, -10, 60))]
    with pytest.raises(typer.BadParameter, match="or a file called"):
        read_gazes("somewhere")


def test_a_file(tmp_path: Path):
    file = tmp_path / "heads.csv"
    file.write_text("seconds,yaw,pitch,width\n0,0,0,\n0.5,30,5,60\n", encoding="utf-8-sig")  # as Excel does
    assert read_gazes(str(file)) == [(0.0, Focus(0, 0)), (0.5, Focus(30, 5, 60))]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no gaze in it"),
        ("seconds,yaw,pitch\n", "no gaze in it"),
        ("yaw,pitch\n1,2\n", "line 2: no 'seconds'"),
        ("seconds,yaw,pitch\n0,x,0\n", "line 2: could not convert"),
        ("seconds,yaw,pitch\n0,0,91\n", "line 2: pitch"),
        ("seconds,yaw,pitch\n0,0\n", "line 2: no 'pitch'"),
        ("seconds,yaw,pitch\n1,0,0\n0,0,0\n", "line 3: seconds are 0.0; they must not go back"),
        ("seconds,yaw,pitch\nnan,0,0\n", "line 2: seconds are nan"),
        ("seconds,yaw,pitch\n0,inf,0\n", "line 2: yaw"),
        ("\x00\xff", "heads.csv"),
    ],
)
def test_files_that_make_no_sense_are_named(tmp_path: Path, text: str, says: str):
    file = tmp_path / "heads.csv"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(PanolinkError, match=r"heads\.csv") as told:
        read_gazes(str(file))
    assert says in str(told.value)


def test_a_file_that_is_not_there(tmp_path: Path):
    with pytest.raises(PanolinkError, match="No such file"):
        read_gazes(str(tmp_path / "absent.csv"))


async def test_gazes_are_told_when_it_is_time_and_again_from_the_beginning(monkeypatch: pytest.MonkeyPatch):
    """With a clock that the test winds."""
    now = [100.0]

    async def sleep(seconds: float) -> None:
        now[0] += seconds

    class Loop:
        def time(self) -> float:
            return now[0]

    monkeypatch.setattr("panolink.cli.gazes.asyncio.get_running_loop", Loop)
    monkeypatch.setattr("panolink.cli.gazes.asyncio.sleep", sleep)
    gazes, told = [(5.0, Focus(0, 0)), (7.5, Focus(30, 0))], []
    following: Any = follow(gazes)
    async with aclosing(following) as directions:
        async for gaze in directions:
            told.append((round(now[0] - 100, 3), gaze.yaw))
            if len(told) == 6:
                break
    assert told == [(0, 0), (1, 0), (2, 0), (2.5, 30), (3.5, 0), (4.5, 0)]
