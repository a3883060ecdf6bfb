from panolink.v1 import link_pb2 as _link_pb2
from panolink.v1 import node_pb2 as _node_pb2
from panolink.v1 import transmitter_pb2 as _transmitter_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TokenKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TOKEN_KIND_UNSPECIFIED: _ClassVar[TokenKind]
    TOKEN_KIND_CONCEALED: _ClassVar[TokenKind]
    TOKEN_KIND_UNCHANGED: _ClassVar[TokenKind]
    TOKEN_KIND_REFINED: _ClassVar[TokenKind]
    TOKEN_KIND_NEW: _ClassVar[TokenKind]
    TOKEN_KIND_NEW_FEATURE: _ClassVar[TokenKind]
    TOKEN_KIND_LOST: _ClassVar[TokenKind]
TOKEN_KIND_UNSPECIFIED: TokenKind
TOKEN_KIND_CONCEALED: TokenKind
TOKEN_KIND_UNCHANGED: TokenKind
TOKEN_KIND_REFINED: TokenKind
TOKEN_KIND_NEW: TokenKind
TOKEN_KIND_NEW_FEATURE: TokenKind
TOKEN_KIND_LOST: TokenKind

class WatchRequest(_message.Message):
    __slots__ = ("count", "picture_format", "gaze", "further_gazes", "return_tokens", "decoder", "realism")
    COUNT_FIELD_NUMBER: _ClassVar[int]
    PICTURE_FORMAT_FIELD_NUMBER: _ClassVar[int]
    GAZE_FIELD_NUMBER: _ClassVar[int]
    FURTHER_GAZES_FIELD_NUMBER: _ClassVar[int]
    RETURN_TOKENS_FIELD_NUMBER: _ClassVar[int]
    DECODER_FIELD_NUMBER: _ClassVar[int]
    REALISM_FIELD_NUMBER: _ClassVar[int]
    count: int
    picture_format: _link_pb2.PictureFormat
    gaze: _link_pb2.Gaze
    further_gazes: _containers.RepeatedCompositeFieldContainer[_link_pb2.Gaze]
    return_tokens: bool
    decoder: _node_pb2.Decoder
    realism: float
    def __init__(self, count: _Optional[int] = ..., picture_format: _Optional[_Union[_link_pb2.PictureFormat, str]] = ..., gaze: _Optional[_Union[_link_pb2.Gaze, _Mapping]] = ..., further_gazes: _Optional[_Iterable[_Union[_link_pb2.Gaze, _Mapping]]] = ..., return_tokens: _Optional[bool] = ..., decoder: _Optional[_Union[_node_pb2.Decoder, str]] = ..., realism: _Optional[float] = ...) -> None: ...

class ReceivedPanorama(_message.Message):
    __slots__ = ("header", "picture", "tokens")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    PICTURE_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    header: ReceivedPanoramaHeader
    picture: bytes
    tokens: bytes
    def __init__(self, header: _Optional[_Union[ReceivedPanoramaHeader, _Mapping]] = ..., picture: _Optional[bytes] = ..., tokens: _Optional[bytes] = ...) -> None: ...

class ReceivedPanoramaHeader(_message.Message):
    __slots__ = ("number", "burst_id", "source", "width", "height", "model_fingerprint", "snr_db", "segments", "concealed_tokens", "dropped", "picture_bytes", "rounds", "captured_at", "token_bytes", "focus", "decoder", "realism")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    BURST_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    SNR_DB_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    CONCEALED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    PICTURE_BYTES_FIELD_NUMBER: _ClassVar[int]
    ROUNDS_FIELD_NUMBER: _ClassVar[int]
    CAPTURED_AT_FIELD_NUMBER: _ClassVar[int]
    TOKEN_BYTES_FIELD_NUMBER: _ClassVar[int]
    FOCUS_FIELD_NUMBER: _ClassVar[int]
    DECODER_FIELD_NUMBER: _ClassVar[int]
    REALISM_FIELD_NUMBER: _ClassVar[int]
    number: int
    burst_id: str
    source: str
    width: int
    height: int
    model_fingerprint: str
    snr_db: float
    segments: _containers.RepeatedCompositeFieldContainer[_link_pb2.LayerSegments]
    concealed_tokens: int
    dropped: int
    picture_bytes: int
    rounds: int
    captured_at: float
    token_bytes: int
    focus: _containers.RepeatedCompositeFieldContainer[_transmitter_pb2.Focus]
    decoder: _node_pb2.Decoder
    realism: float
    def __init__(self, number: _Optional[int] = ..., burst_id: _Optional[str] = ..., source: _Optional[str] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., model_fingerprint: _Optional[str] = ..., snr_db: _Optional[float] = ..., segments: _Optional[_Iterable[_Union[_link_pb2.LayerSegments, _Mapping]]] = ..., concealed_tokens: _Optional[int] = ..., dropped: _Optional[int] = ..., picture_bytes: _Optional[int] = ..., rounds: _Optional[int] = ..., captured_at: _Optional[float] = ..., token_bytes: _Optional[int] = ..., focus: _Optional[_Iterable[_Union[_transmitter_pb2.Focus, _Mapping]]] = ..., decoder: _Optional[_Union[_node_pb2.Decoder, str]] = ..., realism: _Optional[float] = ...) -> None: ...
