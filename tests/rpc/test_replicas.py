import socket
from collections import Counter

import pytest

from panolink.errors import SettingError
from panolink.rpc.credentials import Credentials
from panolink.rpc.replicas import Replicas, addresses_of, in_turn


def first(item_id: str, things: list[str]) -> str:
    return next(in_turn(item_id, things))


def test_items_go_round_and_so_does_what_a_replica_leaves_behind() -> None:
    for things in (["a"], list("ab"), list("abcd")):
        share = Counter(first(f"5f3a-{number}", things) for number in range(120))
        assert set(share.values()) == {120 // len(things)}
    orders = [list(in_turn(f"5f3a-{number}", list("abcd"))) for number in range(120)]
    assert Counter(second for one, second, *_ in orders if one == "a") == {"b": 10, "c": 10, "d": 10}


def test_an_order_is_the_items_own_and_whole() -> None:
    for name in ("5f3a-7", "no number", "-", "x-１"):
        assert list(in_turn(name, list("abcd"))) == list(in_turn(name, list("abcd")))
        assert sorted(in_turn(name, list("abcd"))) == list("abcd")
    assert len({first(f"stream{number}-1", list("abcd")) for number in range(50)}) == 4


async def test_a_name_has_all_its_addresses() -> None:
    found = await addresses_of("localhost:50053")
    assert "127.0.0.1:50053" in found
    assert set(found) <= {"127.0.0.1:50053", "[::1]:50053"}
    with pytest.raises(socket.gaierror):
        await addresses_of("no-such-host.invalid:50053")


async def test_a_token_goes_to_no_replica_in_the_clear(tmp_path) -> None:
    (tmp_path / "token").write_text("0123456789abcdef")
    for target in ("dns:///receiver:50053", "127.0.0.1:50053,10.0.0.5:50053"):
        with pytest.raises(SettingError, match="in the clear"):
            Replicas(target, Credentials(token_file=tmp_path / "token"), patience=0)
