"""`python -m panolink.services.viewer.upload_worker FD MEMORY_BYTES`: reads an upload's pictures, one for each request.

The other end is `panolink.services.viewer.uploads`. A file can harm this process and no other.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from panolink.images import Failure, Picture, Reading, panoramas_in
from panolink.images.formats import MOTION_JPEG_SUFFIXES
from panolink.images.jpeg_scans import check_scans
from panolink.images.video import FrameSelection, frame_rate
from panolink.rpc.server.worker_process import Answer, serve
from panolink.services.viewer.reduced_pictures import reduced


def pictures(options: dict[str, Any]) -> Iterator[Picture]:
    """The picture of a file, or the frames of a video, as `Upload.pictures` asks for them."""
    path, name = Path(options["path"]), options["name"]
    with path.open("rb") as file:
        head = file.read(2)
        if head == b"\xff\xd8" and path.suffix not in MOTION_JPEG_SUFFIXES:  # those are many pictures
            check_scans(head + file.read(), name)
    reading = Reading(selection=FrameSelection(fps=options["fps"]), max_pixels=options["max_pixels"])
    for item in panoramas_in([path], reading):
        if isinstance(item, Failure):
            raise type(item.error)(str(item.error).replace(str(path), name))
        yield reduced(Picture(item.array, item.sphere), options["width"])


class _Reader:
    """Answers the first request, which names a file, and those that follow it."""

    def __init__(self) -> None:
        self._pictures: Iterator[Picture] = iter(())

    def answer(self, options: dict[str, Any], _: bytes) -> Answer:
        about: dict[str, Any] = {}
        if "path" in options:
            self._pictures = pictures(options)
            about["fps"] = frame_rate(Path(options["path"]))
        picture = next(self._pictures, None)
        if picture is None:
            return {"end": True}, None
        return {**about, "sphere": picture.sphere.to_bytes().hex()}, picture.array


if __name__ == "__main__":
    serve(_Reader().answer)
