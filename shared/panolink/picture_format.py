"""How received pictures are written for the way from a receiver: from small and slow to large and at once."""

from enum import StrEnum

JPEG_QUALITY = 92


class PictureFormat(StrEnum):
    """Format of a picture on the wire. Each is a file of its own that says what it is.

    JPEG loses a little; the others nothing.
    """

    PNG = "png"
    WEBP = "webp"
    """without loss: two thirds of PNG's bytes, several times its time"""
    JPEG = "jpeg"
    """at `JPEG_QUALITY`, colours at full resolution"""
    RGB8 = "rgb8"
    """three bytes a pixel behind the header of a PPM file: no time at all, for hosts side by side"""
