"""Kinds of decoders: conversion between names and protocol numbers."""

from __future__ import annotations

from panolink.v1 import node_pb2

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
