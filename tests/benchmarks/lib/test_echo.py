import os

from benchmarks.lib.echo import echoes_per_second


async def test_what_is_said_comes_back() -> None:
    assert await echoes_per_second(os.urandom(700_000), 2) > 0
