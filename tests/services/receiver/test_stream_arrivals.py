from panolink.services.receiver.metrics import ReceiverMetrics
from panolink.services.receiver.stream_arrivals import MORE, MOST_SLOTS, QUIET_SECONDS, StreamArrivals


def value(metrics: ReceiverMetrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"panolink_{name}", labels)


def test_arrivals_are_measured_by_slot_and_slots_are_used_again():
    metrics, now = ReceiverMetrics(), [0.0]
    arrivals = StreamArrivals(metrics, clock=lambda: now[0], now=lambda: 1000.0 + now[0])
    for _ in range(3):
        arrivals.shown("a", 0)
        arrivals.shown("b", 0)
        now[0] += 0.5
    assert value(metrics, "received_stream_pictures_total", slot="0") == 3
    assert value(metrics, "received_stream_pictures_total", slot="1") == 3
    assert value(metrics, "arrival_interval_seconds_count", slot="0") == 2
    assert value(metrics, "arrival_interval_seconds_sum", slot="1") == 1.0
    assert value(metrics, "last_arrival_timestamp_seconds", slot="0") == 1001.0
    now[0] += QUIET_SECONDS + 1
    arrivals.shown("c", 0)
    assert value(metrics, "received_stream_pictures_total", slot="0") == 4
    assert value(metrics, "received_stream_pictures_total", slot="2") is None


def test_slots_are_bounded():
    metrics = ReceiverMetrics()
    arrivals = StreamArrivals(metrics)
    for number in range(MOST_SLOTS + 9):
        arrivals.shown(str(number), 0)
    assert value(metrics, "received_stream_pictures_total", slot=MORE) == 9
    assert value(metrics, "received_stream_pictures_total", slot=str(MOST_SLOTS)) is None


def test_latency_needs_clocks_that_agree():
    metrics = ReceiverMetrics()
    arrivals = StreamArrivals(metrics, now=lambda: 1000.0)
    for captured_at in (0.0, 999.75, 1002.0, 900.0, -5.0, float("nan"), float("inf")):
        arrivals.shown("", captured_at)
    assert value(metrics, "glass_to_glass_seconds_count") == 1
    assert value(metrics, "glass_to_glass_seconds_sum") == 0.25
    assert value(metrics, "received_stream_pictures_total", slot="0") == 0
