"""The promise that every host reads the same symbols from the same bits.

``make golden`` writes the files anew, after a deliberate change of the format or of a shipped model.
"""

import base64
import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from panolink.codec.bitstream import Packet
from panolink.codec.codec import Codec
from panolink.codec.entropy.feature_context import QUARTER_OCTAVES, sign_frequencies
from panolink.codec.entropy.index_context import WEIGHTS
from panolink.codec.entropy.scale_adaptation import RATIO_BOUNDS
from panolink.codec.model import shipped_models
from panolink.codec.streaming.decoder import StreamDecoder
from panolink.codec.streaming.encoder import StreamEncoder
from panolink.codec.streaming.state import _SCALES, TokenState
from panolink.codec.tokens import Tokens, steps_of_rows
from panolink.sphere.focus import _SINES, Focus

GOLDEN = Path(__file__).parent.parent / "golden"
WRITE = bool(os.environ.get("PANOLINK_WRITE_GOLDEN"))


def digest(tokens: Tokens) -> str:
    """Of all that the bitstream carries, whatever the machine's byte order and integer sizes."""
    parts = [np.array([tokens.width, tokens.height, tokens.step]), tokens.indices, tokens.kept, tokens.symbols]
    return hashlib.sha256(b"".join(part.astype("<i4").tobytes() for part in parts)).hexdigest()


@pytest.mark.parametrize("robust", [False, True], ids=["whole", "robust"])
@pytest.mark.parametrize("name", shipped_models())
def test_golden_packet_decodes_to_the_same_symbols(name: str, panorama: np.ndarray, robust: bool):
    stem = f"{name}-robust" if robust else name
    packet_file, digest_file = GOLDEN / f"{stem}.plk", GOLDEN / f"{stem}.json"
    codec = Codec.load(name, device="cpu")
    if WRITE:
        GOLDEN.mkdir(exist_ok=True)
        tokens = codec.unpack(codec.encode(panorama, bpp=0.4, robust=robust))
        packet_file.write_bytes(codec.pack(tokens).to_bytes())
        digest_file.write_text(
            json.dumps({"fingerprint": codec.fingerprint, "symbols": digest(tokens)}, indent=1) + "\n"
        )
    packet = Packet.from_bytes(packet_file.read_bytes())
    golden = json.loads(digest_file.read_text())
    assert packet.fingerprint == codec.fingerprint == golden["fingerprint"]
    tokens = codec.unpack(packet)
    assert tokens.kept.any() and (tokens.slices > 1) == robust
    assert digest(tokens) == golden["symbols"]
    assert codec.pack(tokens).to_bytes() == packet_file.read_bytes()


@pytest.mark.parametrize("name", shipped_models())
def test_symbols_do_not_depend_on_the_device(name: str):
    """Networks may differ by rounding between float32, bfloat16 and a GPU; symbols may not."""
    packet = Packet.from_bytes((GOLDEN / f"{name}.plk").read_bytes())
    devices = ["cpu"] + ["cuda"] * torch.cuda.is_available()
    pictures = []
    for device in devices:
        for half in (False, True):
            codec = Codec.load(name, device=device)
            codec.bfloat16 = half
            tokens = codec.unpack(packet)
            assert digest(tokens) == json.loads((GOLDEN / f"{name}.json").read_text())["symbols"]
            pictures.append(codec.reconstruct([tokens])[0].astype(float))
    for picture in pictures[1:]:
        assert ((picture - pictures[0]) ** 2).mean() < 2.0


def state_digest(state: TokenState) -> str:
    """Of all that later packets are predicted from, whatever the machine's byte order and integer sizes."""
    parts = [state.indices, state.unknown, state.steps, state.differences]
    return hashlib.sha256(b"".join(part.astype("<i4").tobytes() for part in parts)).hexdigest()


def record_stream(codec: Codec, panorama: np.ndarray, *, joined: bool) -> list[dict]:
    """Eight packets of a noisy scene that turns and changes, with slices lost and told, and with a focus at the end.

    With symbols in the index slices, or apart from them, as links send them.
    """
    encoder, decoder, random = StreamEncoder(codec, robust=True), StreamDecoder(codec), np.random.default_rng(7)
    told = []
    for number in range(1, 9):
        picture = np.roll(panorama, 16 * max(number - 5, 0), axis=1)
        picture = np.clip(picture + random.normal(0, 3, panorama.shape), 0, 255).astype(np.uint8)
        if number > 2:
            picture[40:80, 20 * number : 20 * number + 40] = 200
        focus = [Focus(90, -10)] if number > 6 else []
        change = None if joined else encoder.prepare(picture, focus=focus)
        if change:
            packet = encoder.sent(change, *encoder.within(change, 0.3))
        else:
            packet = encoder.encode(picture, bpp=0.3, focus=focus)
        lost = {
            place for place in range(1, len(packet.slices)) if number > 1 and random.random() < (0.4 if joined else 0.2)
        }
        encoder.acknowledge(number, lost)
        payloads = [None if place in lost else piece.payload for place, piece in enumerate(packet.slices)]
        state = decoder.update(Packet.from_payloads(payloads))
        coded = [None if data is None else base64.b64encode(data).decode() for data in payloads]
        told.append({"payloads": coded, "state": state_digest(state)})
    return told


@pytest.mark.parametrize("joined", [False, True], ids=["apart", "joined"])
def test_golden_stream_with_losses_leaves_the_same_states(panorama: np.ndarray, joined: bool):
    file = GOLDEN / ("base-stream-joined.json" if joined else "base-stream.json")
    codec = Codec.load("base", device="cpu")
    if WRITE:
        golden = {"fingerprint": codec.fingerprint, "packets": record_stream(codec, panorama, joined=joined)}
        file.write_text(json.dumps(golden, indent=1) + "\n")
    golden = json.loads(file.read_text())
    assert golden["fingerprint"] == codec.fingerprint and len(golden["packets"]) == 8
    lost = sum(payload is None for packet in golden["packets"] for payload in packet["payloads"])
    assert lost >= 5
    for device in ["cpu"] + ["cuda"] * torch.cuda.is_available():
        decoder, predicted = StreamDecoder(Codec.load("base", device=device)), 0
        for told in golden["packets"]:
            payloads = [None if data is None else base64.b64decode(data) for data in told["payloads"]]
            packet = Packet.from_payloads(payloads)
            assert packet.header.stream
            predicted += bool(packet.header.stream.reference)
            assert state_digest(decoder.update(packet)) == told["state"]
        assert predicted == 7 and packet.header.focus


def test_numbers_that_symbols_depend_on_are_the_same_on_every_host():
    """They are rounded from powers, exponentials and sines, whose last bits differ between processors."""
    rows = [steps_of_rows(count) for count in range(1, 513)]
    tables = [RATIO_BOUNDS, sign_frequencies(), QUARTER_OCTAVES, WEIGHTS, _SCALES, _SINES, np.concatenate(rows)]
    whole = hashlib.sha256(b"".join(np.asarray(table).astype("<i8").tobytes() for table in tables)).hexdigest()
    assert whole == "c8d5a687c431293f55e5778594b1936d85fe6e12c1b5cca28d3de9de58a5e903"
