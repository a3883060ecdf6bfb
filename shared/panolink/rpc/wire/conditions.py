"""Channel conditions: conversion between `panolink.phy.Conditions` and its protocol message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from panolink.errors import SignalError
from panolink.phy import ChannelModel, Clock, Conditions, Phase, Scenario, SnrTrace
from panolink.v1 import channel_pb2

_MODELS = {model: getattr(channel_pb2, f"FADING_MODEL_{model.name}") for model in ChannelModel}
_CLOCKS = {Clock.STREAM: channel_pb2.CLOCK_STREAM, Clock.WALL: channel_pb2.CLOCK_WALL}
_MODEL_NAMES = {number: name for name, number in _MODELS.items()}
_CLOCK_NAMES = {number: name for name, number in _CLOCKS.items()}

# Numeric fields, with the same name in both.
_NUMBERS = (
    *("snr_db", "coherence_symbols", "rician_k_db", "doppler_hz", "symbol_rate_hz", "delay_spread_s", "subcarriers"),
    *("erasure_rate", "erasure_burst", "packet_symbols"),
)


def conditions_to_wire(
    *,
    model: str | None = None,
    clock: str | None = None,
    seed: int | None = None,
    unseeded: bool = False,
    schedule: Scenario | SnrTrace | None = None,
    unscheduled: bool = False,
    **numbers: float | None,
) -> channel_pb2.Conditions:
    """Build a message in which only the given fields are set.

    Parameters
    ----------
    model, clock, seed, schedule, **numbers
        Fields of `Conditions` by name; None leaves a field unset.
    unseeded, unscheduled
        Remove the seed or the schedule.

    Raises
    ------
    SignalError
        A value does not fit its field.
    TypeError
        An unknown field.
    """
    wire = channel_pb2.Conditions()
    for name, value in numbers.items():
        if name not in _NUMBERS:
            raise TypeError(f"conditions have no {name!r}")
        if value is not None:
            _set(wire, name, value)
    if model is not None:
        wire.model = _MODELS[ChannelModel(model)]
    if clock is not None:
        wire.clock = _CLOCKS[Clock(clock)]
    if seed is not None:
        _set(wire, "seed", seed)
    elif unseeded:
        wire.unseeded = True
    if isinstance(schedule, Scenario):
        wire.scenario.repeat = schedule.repeat
        for phase in schedule.phases:
            changes = conditions_to_wire(**phase.changes)
            wire.scenario.phases.add(seconds=phase.seconds, changes=changes, final_snr_db=phase.final_snr_db)
    elif isinstance(schedule, SnrTrace):
        wire.trace.times_s.extend(schedule.times)
        wire.trace.snr_db.extend(schedule.values)
        wire.trace.repeat = schedule.repeat
    elif unscheduled:
        wire.unscheduled = True
    return wire


def whole_conditions_to_wire(conditions: Conditions) -> channel_pb2.Conditions:
    """Build a message in which all fields are set."""
    return conditions_to_wire(
        model=conditions.model,
        clock=conditions.clock,
        seed=conditions.seed,
        unseeded=conditions.seed is None,
        schedule=conditions.schedule,
        unscheduled=conditions.schedule is None,
        **{name: getattr(conditions, name) for name in _NUMBERS},
    )


def conditions_from_wire(wire: channel_pb2.Conditions, present: Conditions | None = None) -> Conditions:
    """Apply a message to conditions.

    Parameters
    ----------
    wire
        Message; unset fields keep their value.
    present
        Conditions to change; None: the defaults.

    Raises
    ------
    SignalError
        Invalid values.
    """
    present = present or Conditions()
    changes = _changes(wire)
    if wire.clock:
        changes["clock"] = _named(wire.clock, _CLOCK_NAMES, "clock")
    seed = {"seed": wire.seed, "unseeded": None, None: present.seed}[wire.WhichOneof("randomness")]
    schedule = present.schedule
    match wire.WhichOneof("schedule"):
        case "scenario":
            schedule = _scenario(wire.scenario)
        case "trace":
            schedule = SnrTrace(tuple(wire.trace.times_s), tuple(wire.trace.snr_db), wire.trace.repeat)
        case "unscheduled":
            schedule = None
    return Conditions(**{**vars(present), **changes, "seed": seed, "schedule": schedule})


def _changes(wire: channel_pb2.Conditions) -> dict[str, Any]:
    """Model and numeric fields that are set."""
    changes: dict[str, Any] = {name: getattr(wire, name) for name in _NUMBERS if wire.HasField(name)}  # type: ignore[arg-type]
    if wire.model:
        changes["model"] = _named(wire.model, _MODEL_NAMES, "fading model")
    return changes


def _scenario(wire: channel_pb2.Scenario) -> Scenario:
    phases = []
    for number, phase in enumerate(wire.phases, start=1):
        whole = phase.changes
        for name in ("randomness", "schedule"):
            if whole.WhichOneof(name) or whole.clock:
                raise SignalError(f"phase {number}: a phase cannot change the {'clock' if whole.clock else name}")
        try:
            final = phase.final_snr_db if phase.HasField("final_snr_db") else None
            phases.append(Phase(phase.seconds, _changes(phase.changes), final))
        except SignalError as error:
            raise SignalError(f"phase {number}: {error}") from None
    return Scenario(tuple(phases), wire.repeat)


def _set(wire: channel_pb2.Conditions, name: str, value: float) -> None:
    try:
        setattr(wire, name, value)
    except (ValueError, TypeError) as error:  # protobuf rejects a number that does not fit its field
        raise SignalError(f"conditions: {name}: {error}") from None


def _named(number: int, names: Mapping[Any, Any], what: str) -> Any:
    if number not in names:
        raise SignalError(f"unknown {what} number {number}; allowed: {', '.join(map(str, names))}")
    return names[number]
