"""Conditions of a radio channel, between the radio's type and the wire's."""

from __future__ import annotations

from panolink.errors import SignalError
from panolink.phy import ChannelModel, Conditions
from panolink.v1 import channel_pb2

_MODELS = {
    "ideal": channel_pb2.FADING_MODEL_IDEAL,
    "awgn": channel_pb2.FADING_MODEL_AWGN,
    "rayleigh": channel_pb2.FADING_MODEL_RAYLEIGH,
    "rician": channel_pb2.FADING_MODEL_RICIAN,
}
_NAMES = {number: name for name, number in _MODELS.items()}


def conditions_to_wire(
    *,
    model: str | None = None,
    snr_db: float | None = None,
    coherence_symbols: int | None = None,
    rician_k_db: float | None = None,
    seed: int | None = None,
    unseeded: bool = False,
) -> channel_pb2.Conditions:
    """Conditions with only the given fields set; `SignalError` for what does not fit the wire."""
    wire = channel_pb2.Conditions()
    try:
        if model is not None:
            wire.model = _MODELS[ChannelModel(model)]
        if snr_db is not None:
            wire.snr_db = snr_db
        if coherence_symbols is not None:
            wire.coherence_symbols = coherence_symbols
        if rician_k_db is not None:
            wire.rician_k_db = rician_k_db
        if seed is not None:
            wire.seed = seed
        elif unseeded:
            wire.unseeded = True
    except ValueError as error:  # protobuf's word for a number that does not fit its field
        raise SignalError(f"conditions: {error}") from None
    return wire


def whole_conditions_to_wire(conditions: Conditions) -> channel_pb2.Conditions:
    """Conditions with all fields set."""
    return conditions_to_wire(
        model=conditions.model,
        snr_db=conditions.snr_db,
        coherence_symbols=conditions.coherence_symbols,
        rician_k_db=conditions.rician_k_db,
        seed=conditions.seed,
        unseeded=conditions.seed is None,
    )


def conditions_from_wire(wire: channel_pb2.Conditions, present: Conditions | None = None) -> Conditions:
    """`present` with the fields that are set in `wire` changed; `SignalError` for impossible values."""
    present = present or Conditions()
    if wire.model and wire.model not in _NAMES:
        raise SignalError(f"unknown fading model number {wire.model}; allowed: 1, 2, 3, 4")
    seed = {"seed": wire.seed, "unseeded": None, None: present.seed}[wire.WhichOneof("randomness")]
    return Conditions(
        model=_NAMES[wire.model] if wire.model else present.model,
        snr_db=wire.snr_db if wire.HasField("snr_db") else present.snr_db,
        coherence_symbols=wire.coherence_symbols if wire.HasField("coherence_symbols") else present.coherence_symbols,
        rician_k_db=wire.rician_k_db if wire.HasField("rician_k_db") else present.rician_k_db,
        seed=seed,
    )
