"""Decoders: conversion between names, realism and what the protocol says of them."""

from __future__ import annotations

from panolink.codec.realism import checked_realism, decoder_of, realism_of
from panolink.v1 import node_pb2, receiver_pb2

_NUMBERS = {
    "": node_pb2.DECODER_UNSPECIFIED,
    "fidelity": node_pb2.DECODER_FIDELITY,
    "perceptual": node_pb2.DECODER_PERCEPTUAL,
}
_NAMES = {number: name for name, number in _NUMBERS.items()}


def decoder_to_wire(name: str) -> node_pb2.Decoder:
    """Protocol number of a kind; of the empty name, too, which leaves it open.

    Raises
    ------
    ValueError
        There is no such kind.
    """
    if name not in _NUMBERS:
        raise ValueError(f"decoder {name!r}; there are {', '.join(filter(None, _NUMBERS))}")
    return _NUMBERS[name]


def decoder_from_wire(number: int) -> str:
    """The name of a kind; empty where it is left open, or not known here."""
    return _NAMES.get(number, "")  # type: ignore[call-overload]  # an open enum


def wanted_realism(decoder: str, realism: float | None) -> float | None:
    """What a viewer asks a receiver for, see `panolink.codec.realism.realism_of`; a file is the receiver's to choose.

    Raises
    ------
    ValueError
        There is no such kind or realism, or the one says another than the other.
    """
    decoder_to_wire(decoder)
    return realism_of(decoder, realism)


def set_realism(
    message: receiver_pb2.WatchRequest | receiver_pb2.ReceivedPanoramaHeader, realism: float | None
) -> None:
    """Say in a message which decoder is meant, at the ends of the scale by its name as well, which all versions know.

    Parameters
    ----------
    message
        One that has `decoder` and `realism`.
    realism
        0 … 1; None: nothing is said.
    """
    if realism is not None:
        message.realism = realism
        message.decoder = decoder_to_wire(decoder_of(realism))


def realism_from_wire(message: receiver_pb2.WatchRequest | receiver_pb2.ReceivedPanoramaHeader) -> float | None:
    """What a message says of a decoder, as a realism; None where it says nothing, or nothing that is known here.

    Raises
    ------
    ModelError
        It is no number from 0 to 1.
    """
    if message.HasField("realism"):
        return checked_realism(message.realism)
    return realism_of(decoder_from_wire(message.decoder))
