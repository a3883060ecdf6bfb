"""Who may speak to a running server, and what whoever may not is told."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from pydantic import ValidationError

from panolink.client import Client
from panolink.errors import AccessError, LinkError, SettingError
from panolink.rpc.observability.metrics import ServiceMetrics
from panolink.rpc.security.credentials import Credentials
from panolink.rpc.server.server import Server
from panolink.rpc.server.settings import ServiceSettings
from panolink.rpc.transport import connection
from panolink.rpc.transport.connection import open_channel
from panolink.v1 import link_pb2, link_pb2_grpc
from tests import certificates

TOKEN = "a-token-that-is-long-enough"
NOBODY = Credentials()
EXPIRY = "panolink_certificate_expiry_timestamp_seconds"


def server(credentials: Credentials = NOBODY, **settings: Any) -> Server:
    values = {"listen": "127.0.0.1:0", "metrics_listen": "off", "drain_seconds": 1.0} | settings
    made = Server("channel", ServiceSettings(credentials=credentials, **values), ServiceMetrics())
    made.add(link_pb2_grpc.add_LinkServicer_to_server, Echo(), "panolink.v1.Link")
    return made


class Echo(link_pb2_grpc.LinkServicer):
    async def Carry(self, request_iterator: Any, context: Any) -> Any:
        async for _ in request_iterator:
            yield link_pb2.Receipt(header=link_pb2.ReceiptHeader(burst_id="1"))


async def named(address: str, credentials: Credentials = NOBODY) -> str:
    """What the service says it is."""
    async with Client(address, credentials=credentials, connect_timeout=5) as client:
        return (await client.info()).service


async def turned_away(address: str, credentials: Credentials = NOBODY) -> str:
    with pytest.raises(AccessError) as error:
        await named(address, credentials)
    line = str(error.value)
    assert line.startswith(f"{address}: ") and "\n" not in line
    return line.removeprefix(f"{address}: ")


def unchecked(**files: Path) -> Credentials:
    """Credentials of a client that does not look at its own certificate, so that the server has to."""
    content = {name: file.read_bytes() for name, file in files.items()}
    made = Credentials()
    channel = grpc.ssl_channel_credentials(content["ca"], content.get("key"), content.get("cert"))
    made.client = lambda target: lambda: channel  # type: ignore[method-assign]
    return made


@pytest.fixture
def one(tmp_path: Path) -> Path:
    """An authority that has signed for a service and a client."""
    return certificates.make(tmp_path / "one", "channel", "client")


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Another authority, with the same names."""
    return certificates.make(tmp_path / "other", "channel", "client")


@pytest.fixture
def token(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    return file


async def test_mutual_tls(one: Path) -> None:
    async with server(certificates.of(one, "channel")) as running:
        assert await named(running.address, certificates.of(one, "client")) == "channel"


async def test_tls_without_client_certificates(one: Path) -> None:
    only_server = Credentials(cert=one / "channel.crt", key=one / "channel.key")
    async with server(only_server) as running:
        assert await named(running.address, Credentials(ca=one / "ca.crt")) == "channel"


async def test_a_server_of_another_authority(one: Path, other: Path) -> None:
    async with server(certificates.of(other, "channel")) as running:
        message = await turned_away(running.address, certificates.of(one, "client"))
    assert message == "its certificate is not signed by an authority in PANOLINK_TLS_CA"


async def test_a_client_of_another_authority(one: Path, other: Path) -> None:
    async with server(certificates.of(one, "channel")) as running:
        message = await turned_away(running.address, certificates.of(other, "client", ca=one))
    assert "a valid certificate that its authority has signed" in message


async def test_a_client_without_a_certificate(one: Path) -> None:
    async with server(certificates.of(one, "channel")) as running:
        message = await turned_away(running.address, Credentials(ca=one / "ca.crt"))
    assert "a valid certificate that its authority has signed (PANOLINK_TLS_CERT and PANOLINK_TLS_KEY)" in message


async def test_a_client_whose_certificate_has_expired(one: Path) -> None:
    certificates.make_expired(one, "old")
    with pytest.raises(SettingError, match="expired on"):  # it finds out by itself …
        certificates.of(one, "old")
    async with server(certificates.of(one, "channel")) as running:  # … and is turned away if it does not look
        message = await turned_away(
            running.address, unchecked(ca=one / "ca.crt", cert=one / "old.crt", key=one / "old.key")
        )
    assert "a valid certificate" in message


async def test_a_server_whose_certificate_has_expired(one: Path) -> None:
    certificates.make_expired(one, "old")
    pair = ((one / "old.key").read_bytes(), (one / "old.crt").read_bytes())
    bare: Any = grpc.aio.server()
    address = f"127.0.0.1:{bare.add_secure_port('127.0.0.1:0', grpc.ssl_server_credentials([pair]))}"
    await bare.start()
    assert await turned_away(address, Credentials(ca=one / "ca.crt")) == "its certificate has expired"
    await bare.stop(None)


async def test_a_certificate_for_another_name(tmp_path: Path, one: Path) -> None:
    async with server(certificates.of(one, "channel")) as running:
        client = certificates.of(one, "client")
        # Known as `channel`, as behind a name with several addresses, it is who it should be; as `receiver` it is not.
        for name, status in (("channel:1", grpc.StatusCode.OK), ("receiver:1", grpc.StatusCode.UNAVAILABLE)):
            async with open_channel(running.address, client, authority=name) as channel:
                call = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
                assert await call.code() == status
        async with open_channel(running.address, client, authority="receiver:1") as channel:
            with pytest.raises(AccessError, match="its certificate is for other names than this one"):
                await connection.wait_until_reachable(channel, running.address, 5)


async def test_tls_meets_clear_text(one: Path) -> None:
    async with server(certificates.of(one, "channel")) as running:
        assert "it wants TLS (PANOLINK_TLS_CA)" in await turned_away(running.address)
    async with server() as running:
        assert "it speaks in the clear" in await turned_away(running.address, certificates.of(one, "client"))


async def test_a_server_shows_its_new_certificate_without_a_restart(one: Path, other: Path) -> None:
    credentials = Credentials(cert=one / "channel.crt", key=one / "channel.key")
    certificates.make(other, "later", days=2)
    async with server(credentials) as running:
        believer = Credentials(ca=other / "ca.crt")
        before = running.metrics.registry.get_sample_value(EXPIRY)
        await turned_away(running.address, believer)
        for kind in ("crt", "key"):
            (other / f"later.{kind}").replace(one / f"channel.{kind}")
        assert await named(running.address, believer) == "channel"
        await turned_away(running.address, Credentials(ca=one / "ca.crt"))
        assert running.metrics.registry.get_sample_value(EXPIRY) > before


async def test_a_client_shows_its_new_certificate_without_a_restart(one: Path, other: Path) -> None:
    """A hop that runs for months outlives its certificate; what is under way on the old connection goes on."""
    async with (
        server(certificates.of(one, "channel")) as running,
        open_channel(running.address, client := certificates.of(one, "client")) as channel,
    ):
        stub: Any = link_pb2_grpc.LinkStub(channel)
        early = stub.Carry()
        await early.write(link_pb2.Burst())
        assert (await early.read()).header.burst_id == "1"
        for name in ("client.crt", "client.key"):  # of an authority that this server does not believe
            (other / name).replace(one / name)
        assert client.material.chain == (one / "client.crt").read_bytes()
        late = stub.Carry()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await late.read()
        assert "a valid certificate" in connection.tls_refusal(refused.value)
        await early.write(link_pb2.Burst())
        assert (await early.read()).header.burst_id == "1"
        early.cancel()


async def test_the_token(one: Path, token: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text(TOKEN[:-1] + "x")
    async with server(Credentials(token_file=token)) as running:
        assert await named(running.address, Credentials(token_file=token)) == "channel"
        message = "no token was shown (PANOLINK_TOKEN_FILE)"
        assert await turned_away(running.address) == message
        message = "the token shown is not the right one (PANOLINK_TOKEN_FILE)"
        assert await turned_away(running.address, Credentials(token_file=wrong)) == message
    tls = {"ca": one / "ca.crt", "cert": one / "channel.crt", "key": one / "channel.key"}
    async with server(Credentials(**tls, token_file=token)) as running:
        assert await named(running.address, Credentials(**tls, token_file=token)) == "channel"
        assert "no token was shown" in await turned_away(running.address, Credentials(**tls))


async def test_every_kind_of_call_needs_the_token_but_a_health_check(token: Path) -> None:
    async with server(Credentials(token_file=token)) as running, open_channel(running.address, NOBODY) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        assert (await stub.Check(health_pb2.HealthCheckRequest())).status == health_pb2.HealthCheckResponse.SERVING
        watch = stub.Watch(health_pb2.HealthCheckRequest())  # would keep a stranger's connection open for ever
        assert await watch.code() == grpc.StatusCode.UNAUTHENTICATED
        reflection: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
        asked = reflection_pb2.ServerReflectionRequest(list_services="")
        for call in (reflection.ServerReflectionInfo(iter([asked])), link_pb2_grpc.LinkStub(channel).Carry(iter([]))):
            assert await call.code() == grpc.StatusCode.UNAUTHENTICATED
        started, handled = (
            running.metrics.registry.get_sample_value(f"grpc_server_{name}_total", {**CARRY, **labels})
            for name, labels in (("started", {}), ("handled", {"grpc_code": "UNAUTHENTICATED"}))
        )
        assert started == handled == 1


CARRY = {"grpc_type": "bidi_stream", "grpc_service": "panolink.v1.Link", "grpc_method": "Carry"}


async def test_who_is_in_the_middle_of_writing_is_told_too(token: Path) -> None:
    """gRPC would lose the status (grpc/grpc#36066)."""
    async with server(Credentials(token_file=token)) as running, open_channel(running.address, NOBODY) as channel:
        stub: Any = link_pb2_grpc.LinkStub(channel)
        call = stub.Carry()
        for _ in range(40):
            await call.write(link_pb2.Burst(samples=bytes(1 << 18)))
        assert await call.code() == grpc.StatusCode.UNAUTHENTICATED
        assert await call.details() == "no token was shown (PANOLINK_TOKEN_FILE)"


async def test_a_token_can_be_changed_without_a_restart(token: Path) -> None:
    shown = Credentials(token_file=token)
    async with server(Credentials(token_file=token)) as running, open_channel(running.address, shown) as channel:
        await connection.wait_until_reachable(channel, running.address, 5)
        token.write_text("another-one-that-is-long-enough")
        await connection.wait_until_reachable(channel, running.address, 5)


def test_listening_in_the_clear_on_a_public_address() -> None:
    with pytest.raises(ValidationError, match=r"LISTEN=0\.0\.0\.0:0: other hosts would reach it in the clear"):
        ServiceSettings(listen="0.0.0.0:0", metrics_listen="off", credentials=NOBODY)
    ServiceSettings(listen="0.0.0.0:0", metrics_listen="0.0.0.0:0", credentials=NOBODY, insecure=True)


async def test_connections_are_limited() -> None:
    async with server(max_connections=2) as running:
        first, second = open_channel(running.address, NOBODY), open_channel(running.address, NOBODY)
        for channel in (first, second):
            await connection.wait_until_reachable(channel, running.address, 5)
        assert "all the connections that it takes" in await turned_away(running.address)
        await first.close()
        for _ in range(50):
            try:
                assert await named(running.address) == "channel"
                break
            except AccessError:
                await asyncio.sleep(0.1)
        else:
            pytest.fail("the place of a connection that was closed is not given back")
        await second.close()


@pytest.mark.slow
async def test_who_pings_without_end_is_cut_off() -> None:
    options = [
        ("grpc.keepalive_time_ms", 100),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.use_local_subchannel_pool", 1),
    ]
    async with server() as running, grpc.aio.insecure_channel(running.address, options=options) as channel:
        call = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        with pytest.raises(grpc.aio.AioRpcError) as cut:
            async for _ in call:
                pass
        assert cut.value.code() == grpc.StatusCode.UNAVAILABLE
        assert "Too many pings" in cut.value.details()


async def test_a_message_over_the_limit_is_refused_before_it_is_parsed() -> None:
    async with server() as running, grpc.aio.insecure_channel(running.address) as channel:
        call: Any = link_pb2_grpc.LinkStub(channel).Carry()
        await call.write(link_pb2.Burst(samples=bytes(2 << 20)))
        assert await call.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_nobody_there_is_not_a_refusal(free_port: Callable[[], int]) -> None:
    with pytest.raises(LinkError, match=r"no service answers there within 0\.3 s"):
        async with Client(f"127.0.0.1:{free_port()}", connect_timeout=0.3, credentials=NOBODY):
            pass
