"""`channel`: show and change the conditions of a running channel."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from panolink.cli.options import Address, Json, print_json, print_note, print_pairs
from panolink.cli.transfer import connected
from panolink.phy.channel.channel_models import ChannelModel, models_with
from panolink.phy.channel.conditions import Clock

_RICIAN, _MOVING, _TDL = (models_with(setting) for setting in ("rician_k_db", "doppler_hz", "subcarriers"))


def channel(
    target: Address,
    model: Annotated[ChannelModel | None, typer.Option(help="Kind of fading.")] = None,
    snr: Annotated[float | None, typer.Option(help="Mean Es/N0 in dB.")] = None,
    coherence: Annotated[
        int | None,
        typer.Option(min=1, help=f"Symbols over which the fading stays as it is ({_MOVING}: at most)."),
    ] = None,
    rician_k: Annotated[
        float | None,
        typer.Option(help=f"Power of the direct path over the scattered ones, in dB ({_RICIAN} only)."),
    ] = None,
    doppler: Annotated[float | None, typer.Option(min=0, help=f"Largest Doppler shift in Hz ({_MOVING}).")] = None,
    speed: Annotated[float | None, typer.Option(min=0, help="Instead: how fast the receiver moves, in km/h …")] = None,
    carrier: Annotated[float, typer.Option(min=0, help="… at a carrier of so many GHz.")] = 3.5,
    delay_spread: Annotated[float | None, typer.Option(min=0, help=f"RMS delay spread in ns ({_TDL}).")] = None,
    subcarriers: Annotated[int | None, typer.Option(min=1, help=f"Of an OFDM symbol ({_TDL}).")] = None,
    symbol_rate: Annotated[float | None, typer.Option(min=1, help="Symbols per second: a burst's duration.")] = None,
    erasure: Annotated[float | None, typer.Option(min=0, max=1, help="Share of the packets that are erased.")] = None,
    erasure_burst: Annotated[
        float | None, typer.Option(min=0, help="Mean number of packets erased in a row; 0: independent.")
    ] = None,
    packet: Annotated[
        int | None, typer.Option(min=0, help="Symbols of a packet; 0: each segment is one of its own.")
    ] = None,
    scenario: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Phases that change the conditions as time goes by (TOML).")
    ] = None,
    trace: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A recorded SNR: CSV with the columns time_s, snr_db.")
    ] = None,
    repeat_trace: Annotated[bool, typer.Option("--repeat-trace", help="Begin again at the end of the trace.")] = False,
    unscheduled: Annotated[bool, typer.Option("--unscheduled", help="End the scenario or trace.")] = False,
    clock: Annotated[Clock | None, typer.Option(help="Time of fading and schedule: a stream's own, or of day.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Every stream meets the same fading and noise.")] = None,
    unseeded: Annotated[bool, typer.Option("--unseeded", help="Fresh fading and noise again.")] = False,
    json: Json = False,
) -> None:
    """Change the conditions of a running channel; without options, show them.

    Example: [bold]panolink channel 127.0.0.1:50052 --model jakes --speed 30 --snr 7[/bold]

    Time begins anew with each change. --scenario fade.toml: 20 dB, a fade, whatever comes next; the guide has one.
    """
    _at_most_one({"--seed": seed, "--unseeded": unseeded or None})
    _at_most_one({"--doppler": doppler, "--speed": speed})
    _at_most_one({"--scenario": scenario, "--trace": trace, "--unscheduled": unscheduled or None})
    if repeat_trace and not trace:
        raise typer.BadParameter("needs --trace FILE", param_hint="'--repeat-trace'")

    from panolink.phy import doppler_of_speed
    from panolink.phy.channel.scenario_files import load_scenario, load_trace

    wanted = {
        "model": model and str(model),
        "snr_db": snr,
        "coherence_symbols": coherence,
        "rician_k_db": rician_k,
        "doppler_hz": doppler if speed is None else doppler_of_speed(speed, 1e9 * carrier),
        "delay_spread_s": None if delay_spread is None else delay_spread / 1e9,
        "subcarriers": subcarriers,
        "symbol_rate_hz": symbol_rate,
        "erasure_rate": erasure,
        "erasure_burst": erasure_burst,
        "packet_symbols": packet,
        "schedule": load_scenario(scenario) if scenario else trace and load_trace(trace, repeat=repeat_trace),
        "clock": clock and str(clock),
        "seed": seed,
        "unseeded": unseeded or None,
        "unscheduled": unscheduled or None,
    }
    changes: dict[str, Any] = {name: value for name, value in wanted.items() if value is not None}

    async def ask() -> dict[str, Any]:
        async with connected(target) as link:
            found = await (link.set_conditions(**changes) if changes else link.conditions())
            for note in found.notes:
                print_note(note)
            if found.schedule is None:
                return _json_values(found) | {"in_force": None}
            conditions, seconds = await link.conditions_in_force()
        return _json_values(found) | {"in_force": {"seconds": seconds, **_json_values(conditions)}}

    conditions = asyncio.run(ask())
    if json:
        print_json(conditions)
    else:
        if now := conditions.pop("in_force"):
            conditions["in force"] = f"{now['snr_db']:.4g} dB, {now['model']}, after {now['seconds']:.4g} s"
        print_pairs({name: "none" if value is None else value for name, value in conditions.items()})


def _at_most_one(options: dict[str, Any]) -> None:
    """A usage error (exit 2) where more than one of these is given."""
    given = [name for name, value in options.items() if value is not None]
    if len(given) > 1:
        raise typer.BadParameter("give one of them, not both", param_hint=" / ".join(f"'{name}'" for name in given))


def _json_values(conditions: Any) -> dict[str, Any]:
    """The fields of `Conditions` by name, as values of JSON types."""
    values = {**vars(conditions), "model": str(conditions.model), "clock": str(conditions.clock)}
    return values | {"schedule": None if conditions.schedule is None else str(conditions.schedule)}
