import json
from math import log2

import numpy as np
import pytest

from benchmarks.link.segment_loss import Air, Draw
from benchmarks.link.separate_coding import PIECE_BYTES, SCHEMES, Files, RateQuality, arrival, capacity, pieces, room
from panolink.phy import Modulation, Scheme

AWGN = Draw(Air.AWGN, (0, 0))


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
def test_a_file_fills_the_room_it_has(scheme):
    for symbols in (500, 26_214, 104_858):
        size = room(symbols, scheme)
        assert sum(fmt.symbols for fmt in pieces(size, scheme)) <= symbols
        assert sum(fmt.payload_bytes for fmt in pieces(size, scheme)) == size
        assert sum(fmt.symbols for fmt in pieces(size + 30, scheme)) > symbols
        assert max(fmt.payload_bytes for fmt in pieces(size, scheme)) <= PIECE_BYTES


def test_the_best_file_that_fits_is_kept(panorama, tmp_path):
    files = Files(panorama, ["vpsnr_db"], tmp_path)
    size, scores = files.best("webp", 3000) or (0, {})
    finer = min(s for s in (files.best("webp", limit) or (0, {}) for limit in (3200, 3500, 4000)) if s[0] > size)
    assert 2000 < size <= 3000 < finer[0] and scores["vpsnr_db"] < finer[1]["vpsnr_db"]
    assert files.best("jpeg", 100) is None  # no quality is so low
    (known,) = tmp_path.glob("file_sizes/*/webp-*.json")
    known.write_text(json.dumps(json.loads(known.read_text()) | {"0": 99}))
    assert (Files(panorama, ["vpsnr_db"], tmp_path).best("webp", 150) or (0,))[0] == 99


@pytest.mark.slow
def test_a_picture_needs_all_its_pieces():
    scheme = Scheme(Modulation.QAM16, 1 / 2)
    one, ten = (arrival(AWGN, size, scheme, 5.75) for size in (1000, 10_000))
    assert 0.01 < one < 0.99 and ten == pytest.approx(one**10, rel=1e-6)
    assert arrival(AWGN, 10_000, scheme, 8) > 0.999 and arrival(AWGN, 10_000, scheme, 4) < 1e-6


def test_capacity_is_shannons():
    assert capacity(AWGN, 1000, 10.0) == pytest.approx(log2(11))
    ergodic = np.mean([capacity(Draw(Air.INTERLEAVED, (0, i)), 256 * 100, 10.0) for i in range(30)])
    assert ergodic == pytest.approx(2.90, abs=0.05)  # E log2(1 + 10·|h|²) = e^0.1·E1(0.1)/ln 2
    curve = RateQuality((0.1, 0.4), {"vpsnr_db": (20.0, 24.0)}, {"vpsnr_db": 11.0})
    assert [curve.at(bpp)["vpsnr_db"] for bpp in (0.05, 0.1, 0.2, 0.4, 3)] == pytest.approx([11, 20, 22, 24, 24])
