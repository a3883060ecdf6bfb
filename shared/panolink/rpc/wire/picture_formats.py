"""Formats of pictures: conversion between names and protocol numbers."""

from __future__ import annotations

from panolink.picture_format import PictureFormat
from panolink.v1 import link_pb2

_NUMBERS = {
    PictureFormat.PNG: link_pb2.PICTURE_FORMAT_PNG,
    PictureFormat.WEBP: link_pb2.PICTURE_FORMAT_WEBP,
    PictureFormat.JPEG: link_pb2.PICTURE_FORMAT_JPEG,
    PictureFormat.RGB8: link_pb2.PICTURE_FORMAT_RGB8,
}
_FORMATS = {number: format for format, number in _NUMBERS.items()}


def picture_format_to_wire(name: str) -> link_pb2.PictureFormat:
    """Protocol number of a format.

    Raises
    ------
    ValueError
        There is no such format.
    """
    if name not in _NUMBERS:
        raise ValueError(f"picture format {name!r}; there are {', '.join(PictureFormat)}")
    return _NUMBERS[PictureFormat(name)]


def picture_format_from_wire(number: int) -> PictureFormat:
    """The format that was asked for; PNG where none was, or one that is not known here."""
    return _FORMATS.get(number, PictureFormat.PNG)  # type: ignore[call-overload]  # an open enum
