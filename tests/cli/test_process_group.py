"""Ports and settings of the services; and one of them, the lightest, as a child that lives, dies and is stopped."""

import asyncio
import os
import signal
import socket
from dataclasses import replace

import pytest

from panolink.cli.process_group import MAX_LINE, NAMES, Ports, Services, _lines, environments
from panolink.errors import LinkError
from tests.cli.helpers import alive


def test_free_ports_are_free_and_different() -> None:
    ports = Ports.free(viewer=True)
    ports.check("127.0.0.1")
    numbers = [getattr(ports, name) for name in ports.names]
    assert ports.names == (*NAMES, "viewer") and len(set(numbers)) == 4
    assert Ports.free().names == NAMES


def test_a_port_in_use_is_named_with_its_option() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(LinkError, match=rf"port {port} on .*; choose another one with --receiver-port"):
            replace(Ports.free(), receiver=port).check("127.0.0.1")


def test_metrics_have_ports_in_a_row() -> None:
    ports = Ports(transmitter=50_051, channel=50_052, receiver=50_053, metrics=50_050)
    with pytest.raises(LinkError, match="port 50051 is asked for twice, by --transmitter-port and --metrics-port"):
        ports.check("127.0.0.1")


def test_each_service_is_told_where_the_next_one_listens() -> None:
    ports = Ports(transmitter=1001, channel=1002, receiver=1003, metrics=2000)
    found = environments(
        "0.0.0.0",
        ports,
        shared={"models": "base", "device": None},
        channel={"snr_db": 7},
        receiver={"decoder": None, "realism": 0.5},
    )
    assert found == {
        "transmitter": {
            "PANOLINK_TRANSMITTER_TARGET": "127.0.0.1:1002",
            "PANOLINK_TRANSMITTER_MODELS": "base",
            "PANOLINK_TRANSMITTER_CORES_SHARE": "0.5",
            "PANOLINK_TRANSMITTER_LISTEN": "0.0.0.0:1001",
            "PANOLINK_TRANSMITTER_METRICS_LISTEN": "0.0.0.0:2000",
        },
        "channel": {
            "PANOLINK_CHANNEL_TARGET": "127.0.0.1:1003",
            "PANOLINK_CHANNEL_SNR_DB": "7",
            "PANOLINK_CHANNEL_CORES_SHARE": "0.25",
            "PANOLINK_CHANNEL_LISTEN": "0.0.0.0:1002",
            "PANOLINK_CHANNEL_METRICS_LISTEN": "0.0.0.0:2001",
        },
        "receiver": {
            "PANOLINK_RECEIVER_MODELS": "base",
            "PANOLINK_RECEIVER_REALISM": "0.5",
            "PANOLINK_RECEIVER_CORES_SHARE": "0.5",
            "PANOLINK_RECEIVER_LISTEN": "0.0.0.0:1003",
            "PANOLINK_RECEIVER_METRICS_LISTEN": "0.0.0.0:2002",
        },
    }


def test_a_viewer_is_stopped_first_and_knows_all_others() -> None:
    ports = Ports(transmitter=1001, channel=1002, receiver=1003, viewer=1004)
    found = environments("127.0.0.1", ports, shared={}, channel={})
    assert list(found) == ["viewer", *NAMES]
    assert found["viewer"]["PANOLINK_VIEWER_RECEIVER"] == "127.0.0.1:1003"
    assert all(settings[f"PANOLINK_{name.upper()}_METRICS_LISTEN"] == "off" for name, settings in found.items())


def channel(**settings: object) -> dict[str, dict[str, str]]:
    values = {"listen": "127.0.0.1:0", "target": "127.0.0.1:9", "metrics_listen": "off"} | settings
    return {"channel": {f"PANOLINK_CHANNEL_{name.upper()}": str(value) for name, value in values.items()}}


@pytest.mark.slow
async def test_a_child_lives_as_long_as_the_work_and_is_stopped() -> None:
    lines: list[tuple[str, str]] = []
    async with Services(channel(), on_line=lambda *line: lines.append(line)) as services:
        ready = await services.supervise(services.ready())
        pid = ready["channel"]["pid"]
        assert alive(pid) and ready["channel"]["listen"].startswith("127.0.0.1:")
        assert await services.supervise(asyncio.sleep(0, "done")) == "done"
    assert not alive(pid)
    assert any(name == "channel" and line.endswith("drains") for name, line in lines)


@pytest.mark.slow
async def test_a_child_that_dies_ends_the_work_with_its_name() -> None:
    async with Services(channel()) as services:
        pid = (await services.ready())["channel"]["pid"]
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(LinkError, match="channel was killed by SIGKILL"):
            await services.supervise(asyncio.sleep(30))


@pytest.mark.slow
async def test_a_child_that_cannot_start_says_why() -> None:
    async with Services(channel(snr_db="loud")) as services:
        with pytest.raises(LinkError, match=r"channel ended with exit code 2: .*PANOLINK_CHANNEL_SNR_DB=loud"):
            await services.supervise(services.ready())


async def test_a_line_that_is_too_long_does_not_end_the_reading() -> None:
    stream = asyncio.StreamReader(limit=MAX_LINE)
    stream.feed_data(b"first\n" + b"x" * (3 * MAX_LINE) + b"\nlast\n")
    stream.feed_eof()
    lines = [line async for line in _lines(stream)]
    assert lines[0] == b"first\n" and lines[-1] == b"last\n"
