import asyncio
import socket
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from panolink.errors import SettingError
from panolink.rpc.flow_control.limits import Limits
from panolink.rpc.observability.metrics import ServiceMetrics
from panolink.rpc.security.credentials import Credentials
from panolink.rpc.server.server import Server
from panolink.rpc.server.settings import ServiceSettings
from panolink.rpc.transport.carry import link_client
from panolink.rpc.transport.load_balancer import Replica, Replicas, resolve_addresses, round_robin
from panolink.rpc.wire.bursts import Burst, admit_burst
from panolink.rpc.wire.framing import frames
from panolink.v1 import link_pb2, link_pb2_grpc
from tests import certificates
from tests.rpc.helpers import connected_client


def first(item_id: str, things: list[str]) -> str:
    return next(round_robin(item_id, things))


def test_items_go_round_and_so_does_what_a_replica_leaves_behind() -> None:
    for things in (["a"], list("ab"), list("abcd")):
        share = Counter(first(f"5f3a-{number}", things) for number in range(120))
        assert set(share.values()) == {120 // len(things)}
    orders = [list(round_robin(f"5f3a-{number}", list("abcd"))) for number in range(120)]
    assert Counter(second for one, second, *_ in orders if one == "a") == {"b": 10, "c": 10, "d": 10}


def test_an_order_is_the_items_own_and_whole() -> None:
    for name in ("5f3a-7", "no number", "-", "x-１"):
        assert list(round_robin(name, list("abcd"))) == list(round_robin(name, list("abcd")))
        assert sorted(round_robin(name, list("abcd"))) == list("abcd")
    assert len({first(f"stream{number}-1", list("abcd")) for number in range(50)}) == 4


async def test_a_name_has_all_its_addresses() -> None:
    found = await resolve_addresses("localhost:50053")
    assert "127.0.0.1:50053" in found
    assert set(found) <= {"127.0.0.1:50053", "[::1]:50053"}
    with pytest.raises(socket.gaierror):
        await resolve_addresses("no-such-host.invalid:50053")


@pytest.mark.parametrize(
    "name", ["", "receiver", "receiver:", "receiver:grpc", "a..b:50053", "x" * 64 + ":50053", ":1"]
)
async def test_a_name_that_cannot_be_looked_up_is_an_error_at_once(name: str) -> None:
    with pytest.raises(SettingError, match=f"^dns:///{name}: .*allowed"):
        Replicas(f"dns:///{name}", Credentials(), reconnect_timeout=0)


async def test_a_token_goes_to_no_replica_in_the_clear(tmp_path) -> None:
    (tmp_path / "token").write_text("0123456789abcdef")
    for target in ("dns:///receiver:50053", "127.0.0.1:50053,10.0.0.5:50053"):
        with pytest.raises(SettingError, match="in the clear"):
            Replicas(target, Credentials(token_file=tmp_path / "token"), reconnect_timeout=0)


class Receives(link_pb2_grpc.LinkServicer):
    """Answers every burst."""

    async def Carry(self, request_iterator: Any, context: Any) -> Any:
        async for frame in frames(request_iterator, lambda header: admit_burst(header, Limits())):
            yield link_pb2.Receipt(header=link_pb2.ReceiptHeader(burst_id=frame.header.burst_id))


async def test_a_replicas_certificate_is_for_the_name_and_not_for_its_address(
    tmp_path: Path, burst: Callable[..., Burst]
) -> None:
    folder = certificates.make(tmp_path, "receiver", "client")
    settings = ServiceSettings(
        listen="127.0.0.1:0", metrics_listen="off", drain_seconds=1, credentials=certificates.of(folder, "receiver")
    )
    server = Server("receiver", settings, ServiceMetrics())
    server.add(link_pb2_grpc.add_LinkServicer_to_server, Receives(), "panolink.v1.Link")

    async def resolve(name: str) -> list[str]:
        return [server.address]

    async def ask(target: str) -> link_pb2.ReceiptHeader:
        options = {"credentials": certificates.of(folder, "client"), "resolve": resolve}
        async with connected_client(target, **options) as client:
            return (await (await client.send("1", burst("1")))).header

    async with server:
        assert not (await ask("dns:///receiver:50053")).HasField("failure")
        failure = (await ask("dns:///stranger:50053")).failure
    assert failure.code == grpc.StatusCode.UNAVAILABLE.value[0]
    assert "Hostname Verification Check failed" in failure.message or "other names" in failure.message


async def test_a_replica_that_leaves_while_its_turn_comes_is_passed_over(
    serve: Any, burst: Callable[..., Burst]
) -> None:
    add = link_pb2_grpc.add_LinkServicer_to_server
    leaves, stays = await serve(add, Receives()), await serve(add, Receives())

    class Late(Replicas):
        """The first replica's address is taken away just after it was told."""

        async def candidates(self, item_id: str, **kwargs: Any) -> list[Replica]:
            candidates = await super().candidates(item_id, **kwargs)
            self._set_addresses([stays])
            await asyncio.sleep(0.05)
            return candidates

    next_hop = Late(f"{leaves},{stays}", reconnect_timeout=0)
    client = link_client(next_hop, timeout=20, limits=Limits(), metrics=ServiceMetrics())
    name = next(f"x-{n}" for n in range(9) if first(f"x-{n}", sorted((leaves, stays))) == leaves)
    answer = await asyncio.wait_for(await client.send(name, burst(name)), 20)
    await client.close()
    await next_hop.close()
    assert not answer.header.HasField("failure"), answer.header
