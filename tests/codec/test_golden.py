"""The promise that every host reads the same symbols from the same bits.

``make golden`` writes the files anew, after a deliberate change of the format or of a shipped model.
"""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from panolink.codec.bitstream import Packet
from panolink.codec.codec import Codec
from panolink.codec.model import shipped_models
from panolink.codec.tokens import Tokens

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
            codec._half = half
            tokens = codec.unpack(packet)
            assert digest(tokens) == json.loads((GOLDEN / f"{name}.json").read_text())["symbols"]
            pictures.append(codec.reconstruct([tokens])[0].astype(float))
    for picture in pictures[1:]:
        assert ((picture - pictures[0]) ** 2).mean() < 2.0
