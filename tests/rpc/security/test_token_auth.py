"""Bearer tokens of calls."""

from typing import Any

import pytest

from panolink.rpc.security.token_auth import _presented_token


@pytest.mark.parametrize(
    ("metadata", "token"),
    [
        ((("authorization", "Bearer abc"),), "abc"),
        ((("x-other", "1"), ("authorization", "Bearer ")), ""),
        ((("authorization", "Basic abc"),), None),
        ((("authorization", b"Bearer abc"),), None),
        ((), None),
        (None, None),
    ],
)
def test_the_token_of_a_call_is_the_bearer_in_its_metadata(metadata: Any, token: str | None) -> None:
    assert _presented_token(metadata) == token
