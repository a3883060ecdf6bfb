"""`python -m panolink.services.transmitter.decode_worker FD MEMORY_BYTES`: decodes pictures until its pipe closes.

The other end is `panolink.services.transmitter.picture_decoder`. A file can harm this process and no other.
"""

from __future__ import annotations

from typing import Any

from panolink.images import picture_size, read_picture
from panolink.images.jpeg_scans import check_scans
from panolink.rpc.server.worker_process import Answer, serve


def _answer(options: dict[str, Any], data: bytes) -> Answer:
    name, max_pixels = options["name"], options["max_pixels"]
    check_scans(data, name)
    if options["header_only"]:
        return {"size": picture_size(data, name=name, max_pixels=max_pixels)}, None
    picture = read_picture(data, name=name, allow_any_aspect=options["allow_any_aspect"], max_pixels=max_pixels)
    return {"sphere": picture.sphere.to_bytes().hex()}, picture.array


if __name__ == "__main__":
    serve(_answer)
