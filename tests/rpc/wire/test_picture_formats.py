import pytest

from panolink.picture_format import PictureFormat
from panolink.rpc.wire.picture_formats import picture_format_from_wire, picture_format_to_wire
from panolink.v1 import link_pb2


def test_formats_have_numbers_of_their_own():
    assert len({picture_format_to_wire(format) for format in PictureFormat}) == len(PictureFormat)
    for format in PictureFormat:
        assert picture_format_from_wire(picture_format_to_wire(format)) is format


def test_what_is_not_known_is_png():
    assert picture_format_from_wire(link_pb2.PICTURE_FORMAT_UNSPECIFIED) is PictureFormat.PNG
    assert picture_format_from_wire(77) is PictureFormat.PNG
    with pytest.raises(ValueError, match="'gif'; there are png, webp, jpeg, rgb8"):
        picture_format_to_wire("gif")
