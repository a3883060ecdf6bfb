import io
import json

import numpy as np
import pytest
from PIL import Image

from panolink.errors import PanolinkError
from panolink.images.wire_pictures import encode_picture
from panolink.picture_format import PictureFormat
from panolink.rpc.flow_control.limits import Limits
from panolink.rpc.wire.deliveries import (
    Delivery,
    ReceivedPanorama,
    Segments,
    ServiceInfo,
    decode_grey,
    deliveries,
)
from panolink.sphere.metadata import SphereMetadata
from panolink.v1 import link_pb2, node_pb2, receiver_pb2, transmitter_pb2

PICTURE = np.arange(4 * 8 * 3, dtype=np.uint8).reshape(4, 8, 3)
COUNTS = [
    link_pb2.LayerSegments(layer=link_pb2.LAYER_HEADER, sent=1),
    link_pb2.LayerSegments(layer=link_pb2.LAYER_INDICES, sent=6, lost=2, recovered=1),
    link_pb2.LayerSegments(layer=link_pb2.LAYER_FEATURES, sent=9, lost=3, unsent=4),
]


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def test_segments_are_counted_by_layer_and_in_all() -> None:
    segments = Segments.from_wire(COUNTS)
    assert (segments.sent, segments.lost, segments.unsent, segments.recovered) == (16, 5, 4, 1)
    assert segments.sent_by_layer == {"header": 1, "indices": 6, "features": 9}
    assert segments.lost_by_layer == {"header": 0, "indices": 2, "features": 3}


@pytest.fixture
def header() -> transmitter_pb2.DeliveryHeader:
    return transmitter_pb2.DeliveryHeader(
        panorama_id="7", source="a.png", width=8, height=4, model="base", tokens=200, kept=50, concealed_tokens=3,
        segments=COUNTS, bits=[transmitter_pb2.LayerBits(layer=link_pb2.LAYER_INDICES, bits=900)], rounds=2,
        seconds={"decode": 0.25, "encode": 0.5},
    )  # fmt: skip


def test_a_delivery_has_what_its_message_says(header: transmitter_pb2.DeliveryHeader) -> None:
    delivery = Delivery.from_wire(header, png(PICTURE), png(PICTURE[:, :, 0]))
    assert delivery.delivered and delivery.error is delivery.code is None
    assert (delivery.id, delivery.source, delivery.tau, delivery.concealed) == ("7", "a.png", 0.25, 3)
    assert delivery.bits == {"indices": 900} and list(delivery.seconds) == ["encode", "decode"]
    np.testing.assert_array_equal(delivery.picture, PICTURE)
    np.testing.assert_array_equal(delivery.activation, PICTURE[:, :, 0])


def test_what_a_message_leaves_out_is_none_and_not_zero(header: transmitter_pb2.DeliveryHeader) -> None:
    delivery = Delivery.from_wire(header, b"", b"")
    for name in ("snr_db", "measured_snr_db", "adapted", "symbol_budget", "picture", "activation"):
        assert getattr(delivery, name) is None, name
    header.snr_db = 0.0
    assert Delivery.from_wire(header, b"", b"").snr_db == 0.0
    assert Delivery(id="1", source="", delivered=False).tau is None


def test_as_json_it_has_all_but_the_pictures(header: transmitter_pb2.DeliveryHeader) -> None:
    said = json.loads(json.dumps(Delivery.from_wire(header, png(PICTURE), b"").as_dict()))
    assert "picture" not in said and "activation" not in said
    assert said["segments"]["by_layer"]["indices"] == {"sent": 6, "lost": 2}
    assert said["segments"]["lost"] == 5 and said["concealed"] == 3


def test_a_failure_keeps_its_reason_and_its_code(header: transmitter_pb2.DeliveryHeader) -> None:
    failure = link_pb2.Failure(code=14, message="channel: no service answers there")
    header.failure.CopyFrom(failure)
    for delivery in (Delivery.from_wire(header, b"", b""), Delivery.failed("7", "a.png", failure)):
        assert not delivery.delivered and delivery.code == "UNAVAILABLE"
        assert delivery.error == "channel: no service answers there"


def test_a_received_panorama_decodes_its_file() -> None:
    message = receiver_pb2.ReceivedPanoramaHeader(number=5, source="a", concealed_tokens=2, dropped=1, segments=COUNTS)
    panorama = ReceivedPanorama.from_wire(message, png(PICTURE))
    np.testing.assert_array_equal(panorama.array, PICTURE)
    assert (panorama.number, panorama.concealed, panorama.dropped, panorama.snr_db) == (5, 2, 1, None)
    assert panorama.segments.lost == 5 and not panorama.sphere


def test_a_raw_panorama_becomes_a_png_where_one_is_wanted() -> None:
    message = receiver_pb2.ReceivedPanoramaHeader(number=5, source="a", width=8, height=4)
    file = encode_picture(PICTURE, PictureFormat.RGB8, sphere=SphereMetadata(heading=30))
    panorama = ReceivedPanorama.from_wire(message, file)
    np.testing.assert_array_equal(panorama.array, PICTURE)
    again = ReceivedPanorama.from_wire(message, panorama.png)
    np.testing.assert_array_equal(again.array, PICTURE)
    assert panorama.sphere.heading == again.sphere.heading == 30 and again.png is again.file


def test_a_service_describes_itself() -> None:
    response = node_pb2.DescribeResponse(service="receiver", version="1", device="cpu", uptime_seconds=2.5)
    response.models.add(name="base", fingerprint="ab", profile="base")
    info = ServiceInfo.from_wire(response)
    assert (info.service, info.uptime_seconds) == ("receiver", 2.5)
    wanted = {"name": "base", "fingerprint": "ab", "profile": "base", "decoders": []}
    assert [dict(model) for model in info.models] == [wanted]


async def received(*messages: transmitter_pb2.Delivery, limits: Limits | None = None) -> list[tuple[str, Delivery]]:
    async def stream():
        for message in messages:
            yield message

    return [one async for one in deliveries(stream(), limits or Limits())]


async def test_deliveries_come_whole_from_their_chunks(header: transmitter_pb2.DeliveryHeader) -> None:
    file = png(PICTURE)
    header.picture_bytes = len(file)
    messages = [transmitter_pb2.Delivery(header=header)]
    messages += [transmitter_pb2.Delivery(picture=part) for part in (file[:40], file[40:])]
    ((item_id, delivery),) = await received(*messages)
    assert item_id == "7" and delivery.delivered
    np.testing.assert_array_equal(delivery.picture, PICTURE)


async def test_a_picture_above_the_limit_fails_alone(header: transmitter_pb2.DeliveryHeader) -> None:
    header.picture_bytes = 10**9
    ((item_id, delivery),) = await received(
        transmitter_pb2.Delivery(header=header), limits=Limits(image_bytes=1000, image_pixels=1000)
    )
    assert item_id == "7" and not delivery.delivered
    assert "bytes in a picture: 1000000000, at most" in (delivery.error or "")


def test_what_is_no_png_is_one_error() -> None:
    with pytest.raises(PanolinkError, match="a received map of tokens cannot be read"):
        decode_grey(b"GIF89a")
