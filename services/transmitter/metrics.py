"""Metrics of the transmitter."""

from collections import defaultdict
from collections.abc import Iterable

from panolink.rpc.observability.metrics import FINE_SECONDS, ServiceMetrics
from panolink.rpc.wire.segments import LAYER_NAMES, LAYERS, scheme_from_wire, scheme_name
from panolink.v1 import link_pb2, transmitter_pb2


class TransmitterMetrics(ServiceMetrics):
    """Metrics of the transmitter, in addition to the common ones."""

    def __init__(self) -> None:
        super().__init__()
        self.panoramas = self.counter("panoramas", "Panoramas answered, by gRPC status.", "code")
        for code in ("OK", "DEADLINE_EXCEEDED"):
            self.panoramas.labels(code)
        self.pixels = self.counter("pixels", "Pixels of panoramas sent.")
        self.coded_bytes = self.counter("coded_bytes", "Bytes that left the source coder.", "layer")
        self.stream_bytes = self.counter("stream_bytes", "Bytes that left the source coder, by stream.", "slot")
        self.tokens = self.counter("tokens", "Tokens of panoramas sent.")
        self.kept_tokens = self.counter("kept_tokens", "Tokens whose features were sent too.")
        rates = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0)
        self.symbols_per_pixel = self.histogram("symbols_per_pixel", "Channel uses of a panorama per pixel.", rates)
        self.end_to_end = self.histogram(
            "end_to_end_seconds", "From a panorama's last byte to its receipt.", (*FINE_SECONDS, 60.0)
        )
        self.vpsnr_db = self.histogram("vpsnr_db", "VPSNR of received pictures against those sent.", range(12, 48, 2))
        for layer in LAYERS:  # start at 0, so that the first bits are an increase too
            self.coded_bytes.labels(layer)
        self.stream_bytes.labels("0")
        self.harq_rounds = self.counter("harq_rounds", "Later rounds of bursts that were sent.")
        self.retransmitted_symbols = self.counter("retransmitted_symbols", "Symbols that were sent in later rounds.")
        self.harq_given_up = self.counter(
            "harq_given_up", "Bursts of which segments were asked for and not sent again, by reason.", "reason"
        )
        for reason in ("deadline", "budget"):
            self.harq_given_up.labels(reason)
        self.predicted_streams = self.gauge("predicted_streams", "Streams whose pictures are predicted.")
        self.predicted_state_bytes = self.gauge("predicted_state_bytes", "Memory that the states of streams take.")
        self.references_needed = self.counter(
            "references_needed", "Pictures of streams sent again, and whole, since the receiver had no reference."
        )
        self.stream_tokens = self.counter("stream_tokens", "Tokens of streams' pictures, by what was said.", "kind")
        for kind in ("unchanged", "refined", "new"):
            self.stream_tokens.labels(kind)
        self.stream_pictures = self.counter(
            "stream_pictures", "Pictures of streams, by slot and how they were coded.", "slot", "coded"
        )
        for coded in ("whole", "predicted"):
            self.stream_pictures.labels("0", coded)
        self.skipped_pictures = self.counter(
            "skipped_pictures", "Pictures of streams that their source left out because they came too late.", "slot"
        )
        self.skipped_pictures.labels("0")
        self.wanted_frame_rate = self.gauge(
            "wanted_frame_rate", "Pictures a second that the source of a stream wants to send, by slot.", "slot"
        )
        self.gaze_age_seconds = self.gauge("gaze_age_seconds", "Age of the gaze of the last picture; NaN: it had none.")
        self.tau = self.gauge("tau_ratio", "Share of the last panorama's tokens whose features were sent too.")
        self.resolution = self.gauge(
            "resolution_ratio", "Tokens of the last panorama as it was coded, over those of full resolution."
        )
        self.spectral_efficiency = self.gauge(
            "spectral_efficiency", "Information bits that a symbol of the last panorama carried.", "layer"
        )
        self.scheme_segments = self.counter("scheme_segments", "Segments sent, by scheme.", "layer", "scheme")
        self.counted_on_db = self.gauge("adaptation_snr_db", "Es/N0 in dB that the next adaptive panorama counts on.")
        self.margin_db = self.gauge("adaptation_margin_db", "What is taken off the measured SNR, in dB.")
        self.base_layer_margin_db = self.gauge(
            "adaptation_base_layer_margin_db",
            "How much further than usual the SNR may fall before indices are lost, in dB.",
        )
        self.fading = self.gauge("adaptation_fading_ratio", "Fading expected within a burst: 0 none, 1 Rayleigh.")

    def count_stream(self, slot: str, picture: transmitter_pb2.StreamPicture) -> None:
        """Count a stream's picture: its tokens by kind, and whether it was sent whole."""
        for kind in ("unchanged", "refined", "new"):
            self.stream_tokens.labels(kind).inc(getattr(picture, kind))
        self.stream_pictures.labels(slot, "predicted" if picture.reference else "whole").inc()

    def count_schemes(self, schemes: Iterable[transmitter_pb2.LayerScheme]) -> None:
        """Count a panorama's segments by scheme, and export the bits per symbol of each layer."""
        segments: dict[str, int] = defaultdict(int)
        symbols_per_bit: dict[str, float] = defaultdict(float)
        for one in schemes:
            layer = LAYER_NAMES[one.layer]
            self.scheme_segments.labels(layer, scheme_name(one)).inc(one.segments)
            if one.modulation == link_pb2.MODULATION_ANALOGUE:
                continue
            scheme = scheme_from_wire(one.modulation, one.code_rate)
            segments[layer] += one.segments
            symbols_per_bit[layer] += one.segments / scheme.bits_per_symbol
        for layer, count in segments.items():
            self.spectral_efficiency.labels(layer).set(count / symbols_per_bit[layer])
