import grpc
import pytest

from panolink import errors
from panolink.rpc.wire.status import code_named, code_of, failure_of, one_line, with_code
from panolink.v1 import link_pb2


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ImageError("x"), grpc.StatusCode.INVALID_ARGUMENT),
        (errors.BitstreamError("x"), grpc.StatusCode.INVALID_ARGUMENT),
        (errors.RateError("x"), grpc.StatusCode.INVALID_ARGUMENT),
        (errors.SignalError("x"), grpc.StatusCode.INVALID_ARGUMENT),
        (errors.ModelError("x"), grpc.StatusCode.FAILED_PRECONDITION),
        (errors.LimitError("x"), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (errors.LinkError("x"), grpc.StatusCode.UNAVAILABLE),
        (errors.StallError("x"), grpc.StatusCode.DEADLINE_EXCEEDED),
        (KeyError("x"), grpc.StatusCode.INTERNAL),
    ],
)
def test_every_error_has_its_code(error: Exception, code: grpc.StatusCode) -> None:
    assert code_of(error) is code
    assert code_named(failure_of(error).code) is code


def test_messages_are_one_short_line() -> None:
    assert one_line("two\n  lines\t") == "two lines"
    assert len(one_line("x" * 10_000)) == 512


def test_messages_name_the_item_and_keep_our_insides() -> None:
    assert failure_of(errors.ImageError("truncated"), about="a.jpg").message == "a.jpg: truncated"
    assert failure_of(errors.ImageError("a.jpg: truncated"), about="a.jpg").message == "a.jpg: truncated"
    assert failure_of(KeyError("/secret/path"), about="a.jpg").message == "a.jpg: internal error"


def test_numbers_that_are_no_codes() -> None:
    assert code_named(4711) is grpc.StatusCode.UNKNOWN


def test_a_failure_without_a_code_is_no_success() -> None:
    failed = link_pb2.Failure(code=0, message="nobody said")
    with_code(failed)
    assert code_named(failed.code) is grpc.StatusCode.UNKNOWN
    with_code(known := link_pb2.Failure(code=8))
    assert known.code == 8
