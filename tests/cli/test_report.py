from dataclasses import replace

import pytest
from rich.console import Console

from panolink.cli import report as results
from panolink.cli.report import Result, accounting, failure_line, print_table
from panolink.rpc.wire.deliveries import Adapted, Delivery, Segments

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
    Result(id="2", source="samples/bad.webp", error="not an image"),
    Result(id="3", source="samples/studio.webp", delivery=DELIVERY, vpsnr_db=31, vssim=0.86),
]


@pytest.mark.parametrize(("width", "tables"), [(200, 1), (80, 2)])
def test_table_fits_the_terminal(monkeypatch: pytest.MonkeyPatch, width: int, tables: int):
    console = Console(width=width, force_terminal=True, color_system=None, record=True, quiet=False)
    monkeypatch.setattr(results, "out", console)
    print_table(RESULTS, title="Rayleigh")
    text = console.export_text()
    assert text.count("city.webp") == tables and "samples/" not in text
    assert "…" not in text and max(map(len, text.splitlines())) <= width
    mean = [line.split() for line in text.splitlines() if line.strip().startswith("mean")]
    assert mean[0][:6] == ["mean", "0.0993", "0.1200", "30.00", "0.8500", "2/40"]
    assert mean[-1][-1] == "500" and "10" in mean[-1]


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
    assert result.as_dict()["adapted"] == {"snr_db": 10.84, "margin_db": 1.5, "fading": 1.0, "insurance_db": 0.0}
    print_table([result, replace(result, id="2")])
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
        print_table([Result(id="1", source="a.webp", delivery=delivery)])
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

    assert accounting(RESULTS[::2]) == "2 panoramas: 2 delivered, 0 lost"
    lost = [failed("UNAVAILABLE"), failed("DATA_LOSS")]
    assert accounting([*RESULTS, *lost, failed("INVALID_ARGUMENT")]) == "6 panoramas: 2 delivered, 2 lost, 2 not sent"


def test_what_is_not_known_is_null():
    values = RESULTS[1].as_dict()
    assert values["delivered"] is False and values["bpp"] is None and values["schemes"] == {}
    assert values["segments"] == {"sent": 0, "lost": 0, "unsent": 0, "recovered": 0}
    assert failure_line(RESULTS[1]) == "samples/bad.webp: not an image"
