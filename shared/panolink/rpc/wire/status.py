"""Mapping between errors and gRPC status codes."""

from __future__ import annotations

import grpc.aio

from panolink.errors import (
    AccessError,
    BitstreamError,
    ConflictError,
    ImageError,
    LimitError,
    LinkError,
    ModelError,
    PanolinkError,
    RateError,
    ReferenceNeededError,
    SignalError,
    StallError,
)
from panolink.rpc.text import visible
from panolink.v1 import link_pb2

_CODES: tuple[tuple[type[PanolinkError], grpc.StatusCode], ...] = (
    (ImageError, grpc.StatusCode.INVALID_ARGUMENT),
    (ReferenceNeededError, grpc.StatusCode.FAILED_PRECONDITION),
    (BitstreamError, grpc.StatusCode.INVALID_ARGUMENT),
    (RateError, grpc.StatusCode.INVALID_ARGUMENT),
    (SignalError, grpc.StatusCode.INVALID_ARGUMENT),
    (ModelError, grpc.StatusCode.FAILED_PRECONDITION),
    (LimitError, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (ConflictError, grpc.StatusCode.ALREADY_EXISTS),
    (StallError, grpc.StatusCode.DEADLINE_EXCEEDED),
    (LinkError, grpc.StatusCode.UNAVAILABLE),
    (AccessError, grpc.StatusCode.UNAUTHENTICATED),
)
_BY_NUMBER = {code.value[0]: code for code in grpc.StatusCode}
_MESSAGE_LENGTH = 512  # statuses travel in HTTP/2 trailers, which are small


def code_of(error: BaseException) -> grpc.StatusCode:
    """Status code of an error: INTERNAL for one that is not a `PanolinkError`."""
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    return grpc.StatusCode.UNKNOWN if isinstance(error, PanolinkError) else grpc.StatusCode.INTERNAL


def one_line(error: BaseException | str) -> str:
    """Error message on one line, at most 512 characters."""
    return visible(" ".join(str(error)[: 8 * _MESSAGE_LENGTH].split()))[:_MESSAGE_LENGTH] or type(error).__name__


def code_named(number: int) -> grpc.StatusCode:
    """Status code of a number read from the wire; UNKNOWN for an undefined one."""
    return _BY_NUMBER.get(number, grpc.StatusCode.UNKNOWN)


def with_code(failed: link_pb2.Failure) -> None:
    """Give a failure that came without a code, which would read as success, the code UNKNOWN."""
    if not failed.code:
        failed.code = grpc.StatusCode.UNKNOWN.value[0]


def failure(code: grpc.StatusCode, message: str) -> link_pb2.Failure:
    """Status of one item of a stream."""
    return link_pb2.Failure(code=code.value[0], message=one_line(message))


def failure_of(error: BaseException, *, about: str = "") -> link_pb2.Failure:
    """Status of one item that failed.

    The text of an error that is not a `PanolinkError` or a gRPC status is internal and is not sent.

    Parameters
    ----------
    about
        Name of the item, prepended unless the message contains it.
    """
    if isinstance(error, grpc.aio.AioRpcError):
        code: grpc.StatusCode = error.code()
        return failure(code, error.details() or code.name)
    message = one_line(error) if isinstance(error, PanolinkError) else "internal error"
    return failure(code_of(error), f"{about}: {message}" if about and about not in message else message)
