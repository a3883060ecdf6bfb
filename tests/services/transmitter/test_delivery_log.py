import logging
from typing import Any

import pytest

from panolink.rpc.flow_control.limits import MAX_SOURCE_LENGTH
from panolink.services.transmitter.delivery_log import log_delivery
from panolink.v1 import link_pb2, transmitter_pb2


def logged(caplog: pytest.LogCaptureFixture, **fields: Any) -> logging.LogRecord:
    """The one record of a delivery with these fields."""
    caplog.set_level(logging.INFO, "panolink.services.transmitter.delivery_log")
    header = transmitter_pb2.DeliveryHeader(
        panorama_id="7", source="a.png", width=256, height=128, bpp=0.125, symbols=4000, tokens=200, kept=50,
        segments=[link_pb2.LayerSegments(layer=link_pb2.LAYER_INDICES, sent=6, lost=2)], seconds={"total": 0.5},
        bits=[transmitter_pb2.LayerBits(layer=link_pb2.LAYER_INDICES, bits=900)],
    )  # fmt: skip
    header.MergeFrom(transmitter_pb2.DeliveryHeader(**fields))
    log_delivery(header)
    (record,) = caplog.records
    return record


def test_one_line_has_what_it_cost(caplog: pytest.LogCaptureFixture) -> None:
    record = logged(caplog)
    assert record.getMessage() == "delivered 'a.png': 0.1250 bpp, 2 of 6 segments lost, 500 ms"
    assert record.levelname == "INFO"
    fields = str(vars(record))
    for part in ("'code': 'OK'", "'symbols': 4000", "'bits': {'indices': 900}", "'segments_lost': 2", "'width': 256"):
        assert part in fields
    assert "rounds" not in fields and "tau" not in fields and "snr_db': 0" not in fields


def test_adaptation_and_rounds_are_there_where_there_were_any(caplog: pytest.LogCaptureFixture) -> None:
    adaptation = transmitter_pb2.Adaptation(snr_db=8.5)
    fields = str(vars(logged(caplog, rounds=2, retransmitted_symbols=300, adaptation=adaptation)))
    assert "'tau': 0.25" in fields and "'counted_on_db': 8.5" in fields
    assert "'rounds': 2" in fields and "'retransmitted_symbols': 300" in fields


def test_a_failure_is_a_warning_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    failure = link_pb2.Failure(code=15, message="header lost")
    record = logged(caplog, failure=failure, source="x" * 1000)
    assert record.levelname == "WARNING" and record.getMessage() == "not delivered: DATA_LOSS: header lost"
    assert "x" * MAX_SOURCE_LENGTH in str(vars(record)) and "x" * (MAX_SOURCE_LENGTH + 1) not in str(vars(record))
