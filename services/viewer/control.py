"""What browsers may ask for: changes of the channel, scenarios, and options of sending; all of it checked here."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeGuard

from panolink.codec.realism import Decoder
from panolink.errors import ModelError, PanolinkError
from panolink.phy import ChannelModel, Clock, Conditions, Phase, Scenario
from panolink.rpc.wire.decoders import wanted_realism

NUMBERS = (
    *("snr_db", "coherence_symbols", "rician_k_db", "doppler_hz", "delay_spread_s"),
    *("erasure_rate", "erasure_burst"),
)
"""Numbers of the conditions that the page may change."""

_WHOLE = ("coherence_symbols",)


class ControlError(PanolinkError, ValueError):
    """A browser's request that makes no sense."""


def json_object(text: str | bytes, what: str) -> dict[str, Any]:
    """A JSON object out of a browser's bytes; `ControlError` where it is none, however deep or long it is."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise ControlError(f"{what}: not JSON") from None
    if not isinstance(found, dict):
        raise ControlError(f"{what}: allowed is a JSON object")
    return found


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a value of a JSON object is a number that a float holds; one of 400 digits is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return -sys.float_info.max <= value <= sys.float_info.max


def conditions_as_dict(conditions: Conditions, seconds: float = 0.0) -> dict[str, Any]:
    """What the page shows of the conditions.

    Parameters
    ----------
    conditions
        As they were set.
    seconds
        Since then: a schedule that is over runs no more.
    """
    values = {name: getattr(conditions, name) for name in ("model", *NUMBERS)}
    schedule = conditions.schedule
    return {**values, "scheduled": schedule is not None and (schedule.repeat or seconds < schedule.seconds)}


async def changes_of(message: Mapping[str, Any], present: Callable[[], Awaitable[Conditions]]) -> dict[str, Any]:
    """Arguments of `Client.set_conditions` for a browser's request.

    Parameters
    ----------
    message
        `changes`: `model` and `NUMBERS` by name; or `scenario`: a name of `scenarios`, or `off`.
    present
        Gives the channel's conditions; asked where a scenario begins.

    Raises
    ------
    ControlError
        Unknown names, or values of the wrong type; their ranges are the channel's to check.
    """
    if (name := message.get("scenario")) is not None:
        if name == "off":
            return {"unscheduled": True}
        known = scenarios((await present()).snr_db)
        if not isinstance(name, str) or name not in known:
            raise ControlError(f"unknown scenario {str(name)[:40]!r}; allowed: off, {', '.join(known)}")
        return {"clock": Clock.WALL, "schedule": known[name]}
    changes = message.get("changes")
    if not isinstance(changes, dict) or not changes:
        raise ControlError("conditions: allowed is an object of changes, or the name of a scenario")
    checked: dict[str, Any] = {"unscheduled": True}
    for name, value in changes.items():
        if name == "model":
            checked[name] = _model(value)
        elif name in NUMBERS:
            checked[name] = _number(name, value)
        else:
            raise ControlError(f"unknown condition {name[:40]!r}; allowed: model, {', '.join(NUMBERS)}")
    return checked


def scenarios(snr_db: float) -> dict[str, Scenario]:
    """The page's scenarios; each ends at the SNR in dB at which it began."""
    deep = min(snr_db, -5.0)
    return {
        "fade": Scenario((_line(0.5, snr_db, deep), _line(3, deep), _line(1.5, deep, snr_db))),
        "tunnel": Scenario(
            (_line(2, snr_db), _line(2, snr_db, deep), _line(5, deep), _line(2, deep, snr_db), _line(1, snr_db))
        ),
        "drive": Scenario(
            (
                *(_line(3, snr_db), _line(3, snr_db, snr_db - 8), _line(3, snr_db - 8, snr_db + 4)),
                *(_line(3, snr_db + 4, snr_db - 5), _line(3, snr_db - 5, snr_db)),
            ),
            repeat=True,
        ),
    }


def send_options(message: Mapping[str, Any], interval: float) -> dict[str, Any]:
    """Arguments of `Client.send` for a browser's options; absent or null: the transmitter's defaults.

    Parameters
    ----------
    message
        Options by name; `bitrate` is that of a stream, in bits a second.
    interval
        Seconds from one picture to the next.

    Raises
    ------
    ControlError
        Values out of range or of the wrong type.
    """
    options: dict[str, Any] = {"adaptive": bool(message.get("adaptive", False))}
    ranges = {"bpp": (0.01, 24.0), "tau": (0.0, 1.0), "symbols_per_pixel": (0.001, 100.0), "bitrate": (1e3, 1e10)}
    for name, (least, most) in ranges.items():
        if message.get(name) is not None:
            options[name] = _number(name, message[name], least, most)
    if len(options) > 2 or (options["adaptive"] and {"bpp", "tau", "bitrate"} & options.keys()):
        raise ControlError(f"at most one of {', '.join(ranges)}; adaptive goes with symbols_per_pixel only")
    if "bitrate" in options:
        options["mean_bits"] = options.pop("bitrate") * interval
    if message.get("harq") is not None:
        options["harq"] = int(_number("harq", message["harq"], 0, 3))
    model = message.get("model") or ""
    if not isinstance(model, str) or len(model) > 256 or not model.isprintable():  # half of a surrogate pair is not
        raise ControlError("model: allowed is one of the transmitter's models")
    options["model"] = model
    return options


def width_of(message: Mapping[str, Any]) -> int | None:
    """The width in pixels to which panoramas are reduced before they are sent; None: as they are."""
    if message.get("width") is None:
        return None
    return int(_number("width", message["width"], 64, 16384))


def realism_of(message: Mapping[str, Any]) -> float | None:
    """The realism of the decoder that is to make the pictures, 0 … 1; None: as the receiver is set.

    Parameters
    ----------
    message
        `decoder`: a kind of decoder, or empty; or `realism`.

    Raises
    ------
    ControlError
        There is no such kind or realism, or the two say different things.
    """
    decoder, realism = message.get("decoder", ""), message.get("realism")
    if not {"decoder", "realism"} & message.keys() or decoder not in ("", *Decoder):
        raise ControlError(
            f"unknown decoder {str(decoder)[:40]!r}; allowed: {', '.join(Decoder)}, or a realism, or none"
        )
    try:
        return wanted_realism(decoder, None if realism is None else _number("realism", realism, 0, 1))
    except ModelError as error:
        raise ControlError(str(error)) from None


def _line(seconds: float, start: float, end: float | None = None) -> Phase:
    return Phase(seconds, {"snr_db": start}, end)


def _model(value: Any) -> ChannelModel:
    try:
        return ChannelModel(value)
    except (ValueError, TypeError):
        raise ControlError(f"unknown channel {str(value)[:40]!r}; allowed: {', '.join(ChannelModel)}") from None


def _number(name: str, value: Any, least: float = -math.inf, most: float = math.inf) -> float:
    if not is_number(value):
        raise ControlError(f"{name}: allowed is a number")
    if not least <= value <= most:
        raise ControlError(f"{name} is {value:g}; allowed: {least:g} to {most:g}")
    return int(value) if name in _WHOLE else value
