import pytest

from panolink.errors import SignalError
from panolink.link.unequal_protection import assign_formats, default_schemes, required_snr_db
from panolink.phy import Modulation, Scheme
from panolink.phy.mcs import MCS_TABLE


def test_layers_are_cut_into_grades_by_bytes():
    slices = [("header", 30), ("indices", 300), *[("features", 100)] * 4, ("features", 200)]
    formats = assign_formats(slices)
    assert [fmt.payload_bytes for fmt in formats] == [size for _, size in slices]
    first, second, third = default_schemes()["features"]
    assert [fmt.scheme for fmt in formats[2:]] == [first, first, second, second, third]
    assert assign_formats([("features", 9)])[0].scheme == first
    assert assign_formats([]) == []


def test_index_slices_take_their_grades_in_turn():
    """Slice s holds the token rows r = s mod S: those that arrive at a low SNR then lie evenly over the panorama."""
    strong, middle, weak = default_schemes()["indices"]
    formats = assign_formats([("header", 30), *[("indices", 300)] * 5, ("features", 100)])
    assert [fmt.scheme for fmt in formats[1:6]] == [strong, middle, weak, strong, middle]


def test_own_schemes_and_unknown_layers():
    schemes = {"a": [Scheme(Modulation.QAM64, 0.75)]}
    assert assign_formats([("a", 5)], schemes)[0].scheme.modulation is Modulation.QAM64
    with pytest.raises(SignalError, match="no scheme for layer 'b'; there are schemes for a"):
        assign_formats([("b", 5)], schemes)


def test_required_snr_grows_for_short_segments_and_fading():
    for scheme in MCS_TABLE:
        assert required_snr_db(scheme, payload_bytes=60) > required_snr_db(scheme)
        assert required_snr_db(scheme, fading=True) > required_snr_db(scheme) + 0.2


def test_fading_between_none_and_rayleigh_needs_an_snr_between():
    for scheme in MCS_TABLE:
        none, some, all_of_it = (required_snr_db(scheme, fading=amount) for amount in (0.0, 0.36, 1.0))
        assert some == pytest.approx(none + 0.36 * (all_of_it - none))
