from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Decoder(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DECODER_UNSPECIFIED: _ClassVar[Decoder]
    DECODER_FIDELITY: _ClassVar[Decoder]
    DECODER_PERCEPTUAL: _ClassVar[Decoder]
DECODER_UNSPECIFIED: Decoder
DECODER_FIDELITY: Decoder
DECODER_PERCEPTUAL: Decoder

class DescribeRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DescribeResponse(_message.Message):
    __slots__ = ("service", "version", "device", "models", "target", "uptime_seconds", "limits")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    UPTIME_SECONDS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    service: str
    version: str
    device: str
    models: _containers.RepeatedCompositeFieldContainer[Model]
    target: str
    uptime_seconds: float
    limits: ServiceLimits
    def __init__(self, service: _Optional[str] = ..., version: _Optional[str] = ..., device: _Optional[str] = ..., models: _Optional[_Iterable[_Union[Model, _Mapping]]] = ..., target: _Optional[str] = ..., uptime_seconds: _Optional[float] = ..., limits: _Optional[_Union[ServiceLimits, _Mapping]] = ...) -> None: ...

class ServiceLimits(_message.Message):
    __slots__ = ("image_bytes", "image_pixels", "burst_symbols", "message_bytes", "in_flight", "streams")
    IMAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    IMAGE_PIXELS_FIELD_NUMBER: _ClassVar[int]
    BURST_SYMBOLS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    image_bytes: int
    image_pixels: int
    burst_symbols: int
    message_bytes: int
    in_flight: int
    streams: int
    def __init__(self, image_bytes: _Optional[int] = ..., image_pixels: _Optional[int] = ..., burst_symbols: _Optional[int] = ..., message_bytes: _Optional[int] = ..., in_flight: _Optional[int] = ..., streams: _Optional[int] = ...) -> None: ...

class Model(_message.Message):
    __slots__ = ("name", "fingerprint", "profile", "decoders")
    NAME_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    DECODERS_FIELD_NUMBER: _ClassVar[int]
    name: str
    fingerprint: str
    profile: str
    decoders: _containers.RepeatedScalarFieldContainer[Decoder]
    def __init__(self, name: _Optional[str] = ..., fingerprint: _Optional[str] = ..., profile: _Optional[str] = ..., decoders: _Optional[_Iterable[_Union[Decoder, str]]] = ...) -> None: ...
