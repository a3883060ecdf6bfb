"""`encode` and `decode`: panorama ⇄ .plk file, without any service."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from panolink.cli.options import (
    AnyAspect,
    Bpp,
    DecoderName,
    Device,
    Json,
    LensDegrees,
    OverwriteOne,
    ProjectionName,
    Realism,
    Tau,
    about,
    check_rate,
    check_realism,
    err,
    out,
    print_json,
    print_note,
)
from panolink.cli.streaming import parse_foci
from panolink.cli.streams import STREAM, check_target, read_source, source_name, write_target
from panolink.codec.effort import Effort
from panolink.errors import ModelError
from panolink.sphere.metadata import LENS_DEGREES, Projection

if TYPE_CHECKING:
    from panolink.codec.codec import Codec


def encode(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A panorama: JPEG, PNG, WebP, TIFF …")],
    target: Annotated[Path, typer.Argument(metavar="OUT.plk", help="The packet to write.")],
    bpp: Bpp = None,
    tau: Tau = None,
    model: Annotated[
        str, typer.Option(help="Name of a shipped model, a .safetensors file, or auto: the one that serves the rate.")
    ] = "base",
    device: Device = "auto",
    projection: ProjectionName = Projection.AUTO,
    lens_degrees: LensDegrees = LENS_DEGREES,
    any_aspect: AnyAspect = False,
    focus: Annotated[
        list[str] | None,
        typer.Option(
            metavar="YAW,PITCH[,WIDTH]",
            help="Where somebody will look, in degrees, up to four times: the bits go there.",
        ),
    ] = None,
    effort: Annotated[
        Effort,
        typer.Option(
            help="A closer picture in as many bits; a megapixel on two cores takes 3 seconds (medium) or 13 (slow)."
        ),
    ] = Effort.FAST,
    keep_metadata: Annotated[
        bool, typer.Option("--keep-metadata", help="Keep EXIF (camera, time, place) in the packet, beside the pose.")
    ] = False,
    overwrite: OverwriteOne = False,
    json: Json = False,
) -> None:
    """Encode a panorama into a .plk file.

    Example: [bold]panolink encode street.jpg street.plk --bpp 0.1[/bold]

    - is standard input or output. Heading, pitch and roll of the camera, and the crop, are kept; EXIF, with the place
    and serial numbers, is not, unless asked for.
    """
    check_rate(bpp, tau)
    foci, follow = parse_foci(focus or ())
    if follow:
        raise typer.BadParameter("auto is for panolink send: a file has no viewers", param_hint="'--focus'")
    from panolink.codec.bitstream import metadata_bits
    from panolink.codec.codec import Codec
    from panolink.codec.model_selection import AUTO, quantize, serving
    from panolink.images import read_picture
    from panolink.images.formats import format_of
    from panolink.images.metadata import kept_exif

    console = out if target != STREAM else err
    if target != STREAM:
        check_target(target, overwrite=overwrite)
    picture = read_picture(
        read_source(source, is_wanted=lambda head: bool(format_of(head))),
        name=source_name(source),
        projection=projection,
        lens_degrees=lens_degrees,
        allow_any_aspect=any_aspect,
    )
    for note in picture.notes:
        print_note(f"{source_name(source)}: {note}")
    image, exif = picture.array, kept_exif(picture.exif) if keep_metadata else b""
    beside = metadata_bits(picture.sphere, exif)
    codecs = [Codec.load(name, device=device) for name in (serving(bpp) if model == AUTO else [model])]
    began = time.monotonic()
    with about(source):
        with _progress(f"encoding {source_name(source)}", quiet=json or effort is Effort.FAST) as progress:
            codec, tokens = quantize(
                image, codecs, bpp=bpp, tau=tau, focus=foci, effort=effort, beside=beside, progress=progress
            )
        packet = codec.pack(tokens).with_metadata(picture.sphere, exif)
    seconds = time.monotonic() - began
    data = packet.to_bytes()
    write_target(target, data, overwrite=overwrite)
    kept = int(tokens.kept.sum())
    if json:
        print_json(
            {
                "model": codec.name,
                "fingerprint": codec.fingerprint,
                "width": packet.width,
                "height": packet.height,
                "bpp": packet.bpp,
                "bits": {layer: packet.bits[layer] for layer in ("header", "indices", "mask", "features")},
                "tokens": tokens.kept.size,
                "kept": kept,
                "seconds": seconds,
                "sphere": picture.sphere.as_dict(),
            },
            console=console,
        )
        return
    console.print(
        f"{target}: {packet.width}×{packet.height}, {len(data):,} bytes, {packet.bpp:.4f} bpp "
        f"({kept:,} of {tokens.kept.size:,} tokens with features), model {codec.name}, {seconds:.2f} s",
        markup=False,
        soft_wrap=True,
    )


def decode(
    source: Annotated[Path, typer.Argument(metavar="IN.plk", help="A packet.")],
    target: Annotated[Path, typer.Argument(metavar="OUT.png", help="The picture to write: .png, .webp, .jpg …")],
    model: Annotated[
        str, typer.Option(help="Name of a shipped model, or a .safetensors file; found by fingerprint where empty.")
    ] = "",
    decoder: DecoderName = "",
    realism: Realism = None,
    device: Device = "auto",
    overwrite: OverwriteOne = False,
    json: Json = False,
) -> None:
    """Decode a .plk file into a picture.

    Example: [bold]panolink decode street.plk street.png[/bold]

    - is standard input or output (as PNG). Realism draws texture that looks right and need not be the original's; the
    bits are the same, and so is the time. A panorama is marked as a photo sphere, with the pose that the packet tells.
    """
    check_realism(decoder, realism)
    from panolink.codec.bitstream import MAGIC, Packet
    from panolink.images import is_sphere
    from panolink.images.write import encode_image, image_format

    console = out if target != STREAM else err
    suffix = ".png" if target == STREAM else target.suffix
    if target != STREAM:
        check_target(target, overwrite=overwrite)
    with about(source):
        packet = Packet.from_bytes(read_source(source, is_wanted=lambda head: head.startswith(MAGIC)))
    image_format(suffix, width=packet.width, height=packet.height, name=target)  # before the work of decoding
    with about(source):
        codec = _codec_for(packet.fingerprint, model, decoder, realism, device)
        began = time.monotonic()
        image = codec.decode(packet)
    seconds = time.monotonic() - began
    sphere = packet.header.sphere if is_sphere(packet.width, packet.height) else None
    write_target(
        target, encode_image(image, suffix, sphere=sphere, exif=packet.header.exif, name=target), overwrite=overwrite
    )
    if json:
        print_json(
            {
                "source": str(source),
                "target": str(target),
                "model": codec.name,
                "fingerprint": codec.fingerprint,
                "width": packet.width,
                "height": packet.height,
                "bpp": packet.bpp,
                "seconds": seconds,
                "sphere": packet.header.sphere.as_dict(),
            },
            console=console,
        )
        return
    console.print(
        f"{target}: {packet.width}×{packet.height} from {packet.bpp:.4f} bpp, model {codec.name}, {seconds:.2f} s",
        markup=False,
        soft_wrap=True,
    )


@contextmanager
def _progress(description: str, *, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """A bar on a person's screen, for what tells how many of its rounds are done."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True, disable=quiet or not err.is_terminal) as bar:
        task = bar.add_task(description, total=None)
        yield lambda done, rounds: bar.update(task, completed=done, total=rounds)


def _codec_for(fingerprint: str, model: str, decoder: str, realism: float | None, device: str) -> Codec:
    """The model that is named, or else the shipped one that made a packet, with that decoder."""
    from panolink.codec.codec import Codec
    from panolink.codec.model import load_decoder, load_model, shipped_models

    if model:
        return Codec.load(model, decoder=decoder, realism=realism, device=device)
    seen = []
    for name in shipped_models():
        found = load_model(name)
        if found.fingerprint == fingerprint:
            load_decoder(found, decoder, realism)
            return Codec(found, device=device)
        seen.append(f"{name} ({found.fingerprint})")
    raise ModelError(
        f"made by model {fingerprint}; shipped are {', '.join(seen) or 'none'}: name its file with --model"
    )
