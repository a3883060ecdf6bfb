import pytest

from panolink.rpc.addresses import split_address


def test_addresses() -> None:
    assert split_address("[::1]:80") == ("::1", 80)
    assert split_address("receiver:50053") == ("receiver", 50053)
    for wrong in ("", "host", ":80", "host:", "a:b:80", "host:123456"):
        with pytest.raises(ValueError, match="host:port"):
            split_address(wrong)
