"""A client of running services: send panoramas, and look at what comes back.

panolink up                                                # in another terminal
python examples/client.py 127.0.0.1:50051 samples/*.webp
"""

import asyncio
import sys

from panolink import Client


async def main(target: str, files: list[str]) -> None:
    async with Client(target) as link:
        async for delivery in link.send(files, bpp=0.1):
            if delivery.delivered:
                seconds = delivery.seconds["total"]
                print(f"{delivery.source}: {delivery.bpp:.3f} bpp, {delivery.segments.lost} lost, {seconds:.2f} s")
            else:
                print(f"{delivery.source}: {delivery.code}, {delivery.error}")


asyncio.run(main(sys.argv[1], sys.argv[2:]))
