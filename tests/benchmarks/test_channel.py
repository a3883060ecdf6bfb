import json
import subprocess
import sys
from math import log2
from pathlib import Path

import numpy as np
import pytest

import panolink
from benchmarks.channel_results import Curves
from benchmarks.channel_tables import cliffs, half_lost_snr, merged, steepest, steepness, table
from benchmarks.segment_loss import Air, Draw
from benchmarks.semantic_link import Analogue, Digital, arrives
from benchmarks.separate_coding import PIECE_BYTES, SCHEMES, Files, RateQuality, arrival, capacity, pieces, room
from panolink.errors import RateError
from panolink.images import save_image
from panolink.link.rate_allocation import SymbolBudget
from panolink.link.transmitter import Coding
from panolink.link.unequal_protection import Choice
from panolink.metrics.viewport import vpsnr
from panolink.phy import Modulation, Scheme

ROOT = Path(__file__).parent.parent.parent
AWGN = Draw(Air.AWGN, (0, 0))


@pytest.fixture(scope="module")
def coding(panorama) -> Coding:
    return Coding(panolink.Codec.load("base", device="cpu"), panorama)


BUDGET = SymbolBudget.per_pixel(0.3, pixels=256 * 128)


# ── separate coding ──────────────────────────────────────────────────────────────────────────────────────────────────


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


# ── this link ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("make", [Digital, Analogue])
def test_the_budget_is_kept_and_nearly_filled(coding, make):
    sender = make(coding, BUDGET, Choice(8.0))
    assert 0.9 * BUDGET.symbols < sender.symbols <= BUDGET.symbols
    with pytest.raises(RateError, match="budget of 100 symbols"):
        make(coding, SymbolBudget(100), Choice(8.0))


def test_digital_features_stay_as_they_are_where_analogue_ones_follow_the_snr(coding):
    digital, analogue = (make(coding, BUDGET, Choice(8.0)) for make in (Digital, Analogue))

    def quality(sender: Digital | Analogue, snr_db: float) -> float:
        picture = sender.receive(AWGN, snr_db)
        assert picture is not None
        return vpsnr(coding.picture, picture)

    scores = {sender: [quality(sender, snr) for snr in (10, 16, 22)] for sender in (digital, analogue)}
    assert len(set(scores[digital])) == 1
    assert scores[analogue] == sorted(scores[analogue]) and scores[analogue][2] > scores[analogue][0] + 0.3
    base_picture = coding.codec.decode(coding.codec.encode(coding.picture, tau=0.0))
    assert scores[analogue][0] > vpsnr(coding.picture, base_picture) + 1


def test_what_is_lost_costs_a_little_and_a_lost_header_the_picture(coding):
    sender = Analogue(coding, BUDGET, Choice(8.0))
    pictures = [sender.receive(Draw(Air.SEGMENT, (0, seed)), 8.0) for seed in range(12)]
    arrived = [picture for picture in pictures if picture is not None]
    assert arrived and all(picture.shape == coding.picture.shape for picture in arrived)
    assert sender.receive(AWGN, -20.0) is None
    digital = Digital(coding, BUDGET, Choice(8.0))
    assert digital.receive(AWGN, -20.0) is None
    keys = {digital.key(Draw(Air.SEGMENT, (0, seed)), 8.0) for seed in range(12)}
    assert len(keys) > 1 and digital.key(AWGN, 10.0) == digital.key(AWGN, 20.0)


def test_a_smaller_picture_goes_where_the_whole_one_does_not_and_is_shown_at_its_size(coding):
    assert coding.within(BUDGET, Choice(8.0)).tokens.reduction == 1
    budget = SymbolBudget(1000)
    assert coding.within(budget, Choice(0.0)).tokens.reduction > 1
    picture = Digital(coding, budget, Choice(0.0)).receive(AWGN, 0.0)
    assert picture is not None and picture.shape == coding.picture.shape
    assert vpsnr(coding.picture, picture) > vpsnr(coding.picture, np.full_like(coding.picture, 127)) + 2


def test_there_is_a_picture_with_a_header_and_some_indices():
    layers = ["header", "mask", "indices", "indices", "features"]
    assert arrives(layers, np.array([0, 1, 1, 0, 1], bool))
    assert not arrives(layers, np.array([0, 0, 1, 1, 0], bool))
    assert not arrives(layers, np.array([1, 0, 0, 0, 0], bool))


# ── the whole ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_bands_come_from_panoramas_and_envelopes_from_designs():
    curves = Curves(["vpsnr_db"])
    for number, value in enumerate((20.0, 22.0, 27.0)):
        for snr in (0.0, 10.0):
            curves.add("awgn", 0.1, snr, number, "adaptive", {"vpsnr_db": value}, 1.0)
            curves.add("awgn", 0.1, snr, number, "jpeg qpsk 1/2", {"vpsnr_db": 18.0}, 1.0)
            curves.add("awgn", 0.1, snr, number, "jpeg 64qam 2/3", {"vpsnr_db": 11.0 + 2 * snr}, snr / 10)
    found = curves.summary()["awgn"]["0.1"]
    point = found["adaptive"][0]["vpsnr_db"]
    assert point["mean"] == pytest.approx(23) and point["low"] == pytest.approx(20) and point["high"] <= 27
    assert [p["scheme"] for p in found["jpeg envelope"]] == ["qpsk 1/2", "64qam 2/3"]


def test_one_command_measures_resumes_and_draws(tmp_path: Path, panorama: np.ndarray):
    pytest.importorskip("matplotlib", reason="plots need matplotlib: pip install panolink[eval]")
    save_image(panorama, tmp_path / "pictures" / "a.png")
    command = [
        *(sys.executable, str(ROOT / "benchmarks/channel.py"), str(tmp_path / "pictures"), "--json"),
        *("--codec", "webp", "--spp", "0.3", "--snr", "0", "--snr", "20", "--air", "awgn", "--draws", "1"),
        *("--measure", "vpsnr_db", "--cache", str(tmp_path / "cache")),
    ]
    first = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    curves = first["curves"]["awgn"]["0.3"]
    assert {"fixed", "adaptive", "analogue", "webp envelope", "webp at capacity"} <= set(curves)
    assert curves["webp 64qam 2/3"][0]["arrived"] < 1e-6 < 0.99 < curves["webp 64qam 2/3"][1]["arrived"]
    assert curves["adaptive"][1]["vpsnr_db"]["mean"] > curves["fixed"][1]["vpsnr_db"]["mean"]
    (kept,) = (tmp_path / "cache").glob("256x128-*.json")
    known = json.loads(kept.read_text())
    known["mean-colour"]["vpsnr_db"] = 3.25
    kept.write_text(json.dumps(known))
    second = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert json.loads(second)["curves"]["awgn"]["0.3"]["webp 64qam 2/3"][0]["vpsnr_db"]["mean"] == pytest.approx(3.25)
    (tmp_path / "channel.json").write_text(second)
    plot = [sys.executable, str(ROOT / "benchmarks/plot_channel.py"), str(tmp_path / "plots" / "channel")]
    subprocess.run([*plot, str(tmp_path / "channel.json")], capture_output=True, check=True)
    assert (tmp_path / "plots" / "channel-awgn-vpsnr_db.png").stat().st_size > 10_000
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- table awgn 0.3 vpsnr_db -->\n<!-- end -->\n<!-- table awgn 0.1 vpsnr_db -->\nold\n<!-- end -->\n"
    )
    tables = [sys.executable, str(ROOT / "benchmarks/channel_tables.py"), "--page", str(page)]
    subprocess.run([*tables, str(tmp_path / "channel.json")], capture_output=True, check=True)
    assert "| 20 | " in page.read_text() and page.read_text().count("old") == 1


def point(snr_db: float, vpsnr_db: float, arrived: float = 1.0) -> dict:
    return {"snr_db": snr_db, "vpsnr_db": {"mean": vpsnr_db}, "arrived": arrived}


def test_tables_tell_where_a_design_has_lost_half_and_how_steep_curves_are(tmp_path):
    cliffed = [point(0, 12, 0.0), point(5, 13, 0.1), point(10, 26, 0.9), point(15, 28)]
    link = [point(0, 20), point(5, 22), point(10, 26), point(15, 27)]
    never = [point(snr, 28) for snr in (0, 5, 10, 15)]
    assert half_lost_snr(cliffed) == pytest.approx(7.5)
    assert half_lost_snr(never) is None and half_lost_snr([point(0, 9, 0.0), point(5, 9, 0.4)]) is None
    assert steepest(link, "vpsnr_db") == pytest.approx(0.8)
    senders = {
        "fixed": link,
        "adaptive": never,
        "analogue": link[::3],
        "webp 16qam 1/2": cliffed,
        "webp envelope": cliffed,
    }
    airs = {"awgn": {"0.1": senders}}
    assert cliffs(airs, "vpsnr_db").splitlines()[2:] == [
        "| awgn | 0.1 | webp 16qam 1/2 | 7.5 | 19.50 | 24.00 | 28.00 |"
    ]
    assert steepness(airs, "vpsnr_db").splitlines()[2:] == ["| awgn | 0.1 | 0.80 | 0.00 | 0.47 |"]
    rows = table(senders, "vpsnr_db").splitlines()
    assert rows[0] == "| VPSNR dB at SNR dB | fixed | adaptive | analogue | webp envelope |"
    assert rows[2] == "| 0 | 20.00 | 28.00 | 20.00 | 12.00 (0 %) |"
    assert rows[3] == "| 5 | 22.00 | 28.00 |  | 13.00 (10 %) |"
    parts = []
    for spp, name in (("0.1", "a"), ("0.2", "b"), ("0.1", "c")):
        parts.append(tmp_path / f"{name}.json")
        parts[-1].write_text(json.dumps({"measures": ["vpsnr_db"], "curves": {"awgn": {spp: {"fixed": name}}}}))
    assert merged(parts)["curves"] == {"awgn": {"0.1": {"fixed": "c"}, "0.2": {"fixed": "b"}}}
