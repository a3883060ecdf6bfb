"""A service is killed, stays away, or stands still at each stage of a panorama's way.

The panorama is answered once and shown once, and a second sender is served meanwhile. Where the service stays away,
what it had is reported lost, and nothing that is not shown is called delivered.
"""

import asyncio
import io
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.e2e.stages import EVERYWHERE, IMPATIENCE, Decoders, Services, met
from tests.e2e.test_kill import PATIENCE

Launch = Callable[..., Any]

pytestmark = pytest.mark.slow

CASES = [(stage, victim, "stopped") for stage, victim in EVERYWHERE] + [
    ("accepted", "transmitter", "killed"),
    ("encoding", "transmitter", "killed"),
    ("on the channel", "channel", "killed"),
    ("decoding", "receiver", "killed"),
    ("its receipt under way", "channel", "killed"),
    ("its receipt under way", "receiver", "killed"),
    ("delivering to a viewer", "receiver", "killed"),
]
"""Stage, service, whether it is killed and comes back: each kill takes as long as a service takes to start."""
LOST = {"UNAVAILABLE", "DEADLINE_EXCEEDED"}


@pytest.fixture(scope="module")
def services(launch: Launch) -> Iterator[Services]:
    started = Services(launch)
    yield started
    started.end()


@pytest.fixture(scope="module")
def impatient_services(launch: Launch) -> Iterator[Services]:
    started = Services(launch, IMPATIENCE)
    yield started
    started.end()


@pytest.fixture(scope="module")
def large(samples: list[Path]) -> bytes:
    """Large enough for networks to take a while."""
    buffer = io.BytesIO()
    Image.open(samples[0]).convert("RGB").resize((1024, 512)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def decoders() -> Iterator[Decoders]:
    still = Decoders()
    yield still
    still.go_on()  # whatever has failed: they would outlive their transmitter


@pytest.mark.long
@pytest.mark.parametrize(
    ("stage", "victim", "what"), CASES, ids=[f"{stage}: {victim} {what}" for stage, victim, what in CASES]
)
async def test_whatever_stage_a_panorama_is_at_it_is_answered_once_and_shown_once(
    services: Services, small: bytes, large: bytes, decoders: Decoders, stage: str, victim: str, what: str
) -> None:
    killed = what == "killed"
    async with met(stage, victim, services, decoders, small, large) as scene:
        if killed:
            services.running[victim].stop(signal.SIGKILL)
        second = scene.second_sender(small)
        second_got = [await anext(second)]  # in time, whatever has become of the first one's services
        if killed or victim != "receiver":
            second_got += [delivery async for delivery in second]
        assert not scene.sending.done()
        scene.go_on()
        if killed:
            await asyncio.to_thread(services.start, victim)
        else:
            services.signal(victim, signal.SIGCONT)
        async with asyncio.timeout(PATIENCE):
            got = scene.got + await scene.sending
            second_got += [delivery async for delivery in second]

        names = scene.names + scene.second_names
        assert Counter(delivery.source for delivery in got) == Counter(scene.names)
        assert Counter(delivery.source for delivery in second_got) == Counter(scene.second_names)
        assert all(delivery.delivered for delivery in got + second_got), got + second_got
        if not (killed and victim == "receiver"):
            await scene.all_shown(set(names))
            assert scene.shown == Counter(names)
        else:
            assert max(Counter(scene.viewer.shown).values()) == 1
            # A killed receiver forgets: what it had not answered is shown by the one that took its place.
            assert scene.shown.keys() <= set(names)


@pytest.mark.long
@pytest.mark.parametrize(("stage", "victim"), EVERYWHERE, ids=[f"{stage}: {victim}" for stage, victim in EVERYWHERE])
async def test_what_a_service_that_stays_away_had_in_hand_is_reported_lost_and_nothing_else_is(
    impatient_services: Services, small: bytes, large: bytes, decoders: Decoders, stage: str, victim: str
) -> None:
    services = impatient_services
    await services.revive()
    async with met(stage, victim, services, decoders, small, large, patience=IMPATIENCE) as scene:
        services.running[victim].stop(signal.SIGKILL)
        async with asyncio.timeout(PATIENCE):
            second_got = [delivery async for delivery in scene.second_sender(small)]
            scene.go_on()
            got = scene.got + await scene.sending

        assert Counter(delivery.source for delivery in got) == Counter(scene.names)
        lost = [delivery for delivery in got if not delivery.delivered]
        delivered = {delivery.source for delivery in got if delivery.delivered}
        assert {delivery.code for delivery in lost} <= LOST, got
        # What was sent last cannot have come through; what came before the service went away has.
        assert {scene.names[-1]} <= {delivery.source for delivery in lost} <= set(scene.names[-3:])
        # The second sender's transmitter has another receiver, where the first one is the service that is away.
        assert Counter(delivery.source for delivery in second_got) == Counter(scene.second_names)
        assert all(delivery.delivered for delivery in second_got), second_got
        if victim != "receiver":
            await scene.all_shown(delivered | set(scene.second_names))
        assert max(scene.shown.values()) == 1
        assert scene.shown.keys() <= set(scene.names + scene.second_names)
