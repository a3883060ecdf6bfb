from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from panolink.cli import report as results
from panolink.cli.report import MAX_ROWS, Result, Tally, delivery_line, failure_line
from panolink.rpc.wire.deliveries import Adapted, Delivery, Segments, StreamPicture

DELIVERY = Delivery(
    id="1",
    source="samples/city.webp",
    delivered=True,
    bpp=0.0993,
    symbols=9,
    symbols_per_pixel=0.12,
    segments=Segments(20, 1),
    seconds={"encode": 0.1, "fec_encode": 0.004, "fec_decode": 0.006, "total": 0.5},
)


RESULTS = [
    Result(id="1", source="samples/city.webp", delivery=DELIVERY, vpsnr_db=29, vssim=0.84),
    Result(id="2", source="samples/bad.webp", error="not an image", code="INVALID_ARGUMENT"),
    Result(id="3", source="samples/studio.webp", delivery=DELIVERY, vpsnr_db=31, vssim=0.86),
]


def tally_of(found: Sequence[Result]) -> Tally:
    tally = Tally()
    for result in found:
        tally.add(result)
    return tally


@pytest.mark.parametrize(("width", "tables"), [(200, 1), (80, 2), (40, 5), (24, 12)])
def test_table_fits_the_terminal(monkeypatch: pytest.MonkeyPatch, width: int, tables: int):
    console = Console(width=width, force_terminal=True, color_system=None, record=True, quiet=False)
    monkeypatch.setattr(results, "out", console)
    tally_of(RESULTS).print_table(title="Rayleigh")
    text = console.export_text()
    assert text.count("city.webp") == tables and "samples/" not in text
    assert "…" not in text and max(map(len, text.splitlines())) <= width
    mean = [line.split() for line in text.splitlines() if line.strip().startswith("mean")]
    assert mean[0][:2] == ["mean", "2/40"]  # what was lost is told beside the names, however narrow
    means = [cell for row in mean for cell in row if cell != "mean"]
    assert means[:5] == ["2/40", "0.0993", "0.1200", "30.00", "0.8500"]
    assert means[-1] == "500" and "10" in means


def test_pictures_that_later_ones_overtook_are_told():
    overtaken = replace(DELIVERY, tokens=8, stream=StreamPicture(3, 2, 4, 2, 2, overtaken=True))
    result = Result(id="3", source="c.mp4#3", delivery=overtaken)
    assert tally_of([*RESULTS[:1], result]).accounting() == (
        "2 panoramas: 2 delivered, 0 lost; 1 not shown: later ones had been shown before"
    )
    assert "25 % new, not shown: a later one had been" in delivery_line(result)


@pytest.mark.parametrize(("width", "tables"), [(200, 1), (80, 3)])
def test_how_adaptive_panoramas_were_sent(monkeypatch: pytest.MonkeyPatch, width: int, tables: int):
    console = Console(width=width, force_terminal=True, color_system=None, record=True, quiet=False)
    monkeypatch.setattr(results, "out", console)
    adapted = replace(
        DELIVERY,
        tokens=8,
        kept=2,
        measured_snr_db=12.34,
        adapted=Adapted(snr_db=10.84, margin_db=1.5, fading=1.0, base_layer_margin_db=0.0),
        schemes={"header": ("qpsk 1/5",), "indices": ("16qam 1/3",), "features": ("16qam 1/2", "64qam 1/2")},
    )
    result = Result(id="1", source="samples/city.webp", delivery=adapted, vpsnr_db=29, vssim=0.84)
    assert result.as_dict()["adapted"] == {
        "snr_db": 10.84,
        "margin_db": 1.5,
        "fading": 1.0,
        "base_layer_margin_db": 0.0,
    }
    tally_of([result, replace(result, id="2")]).print_table()
    text = console.export_text()
    assert text.count("city.webp") == 2 * tables
    for figure in ("12.3", "10.8", "0.250", "16qam 1/3", "16qam 1/2", "64qam 1/2"):
        assert figure in text
    assert "…" not in text and max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize("width", [200, 80])
def test_rounds_are_shown_where_there_were_several(monkeypatch: pytest.MonkeyPatch, width: int):
    def printed(rounds: int) -> str:
        console = Console(width=width, force_terminal=True, color_system=None, record=True, quiet=False)
        monkeypatch.setattr(results, "out", console)
        segments = Segments(20, 1, recovered=13 if rounds > 1 else 0)
        delivery = replace(DELIVERY, rounds=rounds, retransmitted_symbols=4711 * (rounds > 1), segments=segments)
        tally_of([Result(id="1", source="a.webp", delivery=delivery)]).print_table()
        text = console.export_text()
        assert "…" not in text and max(map(len, text.splitlines())) <= width
        return text

    several = printed(3)
    assert all(word in several for word in ("rounds", "4711", "recovered", "13"))
    assert "rounds" not in printed(1)


def test_every_panorama_is_counted_once():
    def failed(code: str) -> Result:
        delivery = Delivery(id="4", source="far.webp", delivered=False, error="gone", code=code)
        return Result(id="4", source="far.webp", delivery=delivery, error="gone")

    assert tally_of(RESULTS[::2]).accounting() == "2 panoramas: 2 delivered, 0 lost"
    lost = [failed("UNAVAILABLE"), failed("DATA_LOSS")]
    tally = tally_of([*RESULTS, *lost, failed("INVALID_ARGUMENT")])
    assert tally.accounting() == "6 panoramas: 2 delivered, 2 lost, 2 not sent"
    unwritten = replace(RESULTS[0], error="out/a.png: No space left on device", code="RESOURCE_EXHAUSTED")
    assert tally_of([*RESULTS, unwritten]).accounting() == "4 panoramas: 2 delivered, 0 lost, 1 not sent, 1 not written"


def test_what_is_not_known_is_null():
    values = RESULTS[1].as_dict()
    assert values["delivered"] is False and values["bpp"] is None and values["schemes"] == {}
    assert values["segments"] == {"sent": 0, "lost": 0, "unsent": 0, "recovered": 0}
    assert failure_line(RESULTS[1]) == "samples/bad.webp: not an image"


def test_keys_are_the_same_for_all():
    assert [list(result.as_dict()) for result in RESULTS] == [list(RESULTS[0].as_dict())] * 3
    assert RESULTS[0].as_dict()["error"] is None
    assert RESULTS[1].as_dict()["error"] == {"code": "INVALID_ARGUMENT", "message": "not an image"}


def test_a_line_has_the_name_and_the_loss_first():
    line = delivery_line(replace(RESULTS[0], path=Path("out/city.png")))
    assert line == "samples/city.webp: 1/20 segments lost, 0.0993 bpp, 29.00 dB VPSNR, 500 ms, out/city.png"


def test_a_long_video_has_a_table_of_its_beginning_and_means_of_all(monkeypatch: pytest.MonkeyPatch):
    console = Console(width=200, force_terminal=True, color_system=None, record=True, quiet=False)
    monkeypatch.setattr(results, "out", console)
    tally = Tally()
    for number in range(MAX_ROWS + 900):
        tally.add(replace(RESULTS[0], source=f"long.mp4#{number:04d}", vpsnr_db=20 if number < MAX_ROWS else 40))
    tally.print_table()
    text = console.export_text()
    assert text.count("long.mp4#") == MAX_ROWS and "the first 100 of 1,000 panoramas" in text
    (mean,) = [line.split() for line in text.splitlines() if line.strip().startswith("mean")]
    assert "38.00" in mean
