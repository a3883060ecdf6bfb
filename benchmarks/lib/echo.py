"""What gRPC alone takes: a server that sends back the bytes that it gets, in chunks as services send them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio

from panolink.rpc.flow_control.limits import CHUNK_BYTES

METHOD = "/echo.Echo/Echo"


class _Echo(grpc.GenericRpcHandler):
    def service(self, handler_call_details: Any) -> Any:
        async def answer(chunks: AsyncIterator[bytes], _: Any) -> AsyncIterator[bytes]:
            async for chunk in chunks:
                yield chunk

        return grpc.stream_stream_rpc_method_handler(answer)


async def echoes_per_second(data: bytes, count: int) -> float:
    """How often in a second ``data`` goes to a server in this process and back, one after the other."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((_Echo(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    chunks = [data[start : start + CHUNK_BYTES] for start in range(0, len(data), CHUNK_BYTES)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        start = 0.0
        for number in range(count + 1):
            call = channel.stream_stream(METHOD)()
            for chunk in chunks:
                await call.write(chunk)
            await call.done_writing()
            back = b"".join([chunk async for chunk in call])
            if back != data:
                raise RuntimeError("the echo is not what was said")
            if not number:
                start = time.perf_counter()
        taken = time.perf_counter() - start
    await server.stop(None)
    return count / taken
