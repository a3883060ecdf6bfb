"""`encode` and `decode`: panorama ⇄ .plk file, without any service."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from panolink.cli.options import AnyAspect, Bpp, DecoderName, Device, Json, Tau, about, check_rate, out, print_json
from panolink.errors import ModelError

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
    any_aspect: AnyAspect = False,
    json: Json = False,
) -> None:
    """Encode a panorama into a .plk file.

    Example: [bold]panolink encode street.jpg street.plk --bpp 0.1[/bold]
    """
    check_rate(bpp, tau)
    from panolink.codec.codec import Codec
    from panolink.codec.model_selection import AUTO, quantize, serving
    from panolink.images import load_panorama

    image = load_panorama(source, allow_any_aspect=any_aspect)
    codecs = [Codec.load(name, device=device) for name in (serving(bpp) if model == AUTO else [model])]
    began = time.monotonic()
    with about(source):
        codec, tokens = quantize(image, codecs, bpp=bpp, tau=tau)
        packet = codec.pack(tokens)
    seconds = time.monotonic() - began
    data = packet.to_bytes()
    target.write_bytes(data)
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
            }
        )
        return
    out.print(
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
    decoder: DecoderName = "fidelity",
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Decode a .plk file into a picture.

    Example: [bold]panolink decode street.plk street.png[/bold]
    """
    from panolink.codec.bitstream import Packet
    from panolink.images import save_image

    with about(source):
        packet = Packet.from_bytes(source.read_bytes())
        codec = _codec_for(packet.fingerprint, model, decoder, device)
        began = time.monotonic()
        image = codec.decode(packet)
    seconds = time.monotonic() - began
    save_image(image, target)
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
            }
        )
        return
    out.print(
        f"{target}: {packet.width}×{packet.height} from {packet.bpp:.4f} bpp, model {codec.name}, {seconds:.2f} s",
        markup=False,
        soft_wrap=True,
    )


def _codec_for(fingerprint: str, model: str, decoder: str, device: str) -> Codec:
    """The model that is named, or else the shipped one that made a packet, with that decoder."""
    from panolink.codec.codec import Codec
    from panolink.codec.model import load_decoder, load_model, shipped_models

    if model:
        return Codec.load(model, decoder=decoder, device=device)
    seen = []
    for name in shipped_models():
        found = load_model(name)
        if found.fingerprint == fingerprint:
            load_decoder(found, decoder)
            return Codec(found, device=device)
        seen.append(f"{name} ({found.fingerprint})")
    raise ModelError(
        f"made by model {fingerprint}; shipped are {', '.join(seen) or 'none'}: name its file with --model"
    )
