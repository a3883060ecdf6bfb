from panolink.v1 import link_pb2 as _link_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TransmitRequest(_message.Message):
    __slots__ = ("header", "image")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    header: PanoramaHeader
    image: bytes
    def __init__(self, header: _Optional[_Union[PanoramaHeader, _Mapping]] = ..., image: _Optional[bytes] = ...) -> None: ...

class PanoramaHeader(_message.Message):
    __slots__ = ("panorama_id", "source", "image_bytes", "bpp", "tau", "symbols_per_pixel", "mean_bits", "model", "return_picture", "return_activation", "allow_any_aspect", "traceparent", "sender", "adaptive", "deadline_seconds", "harq", "analogue", "picture_format", "stream_id", "focus", "follow_gaze", "captured_at", "skipped", "frame_rate", "sequence")
    PANORAMA_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    IMAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    BPP_FIELD_NUMBER: _ClassVar[int]
    TAU_FIELD_NUMBER: _ClassVar[int]
    SYMBOLS_PER_PIXEL_FIELD_NUMBER: _ClassVar[int]
    MEAN_BITS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    RETURN_PICTURE_FIELD_NUMBER: _ClassVar[int]
    RETURN_ACTIVATION_FIELD_NUMBER: _ClassVar[int]
    ALLOW_ANY_ASPECT_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    ADAPTIVE_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    HARQ_FIELD_NUMBER: _ClassVar[int]
    ANALOGUE_FIELD_NUMBER: _ClassVar[int]
    PICTURE_FORMAT_FIELD_NUMBER: _ClassVar[int]
    STREAM_ID_FIELD_NUMBER: _ClassVar[int]
    FOCUS_FIELD_NUMBER: _ClassVar[int]
    FOLLOW_GAZE_FIELD_NUMBER: _ClassVar[int]
    CAPTURED_AT_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FIELD_NUMBER: _ClassVar[int]
    FRAME_RATE_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    panorama_id: str
    source: str
    image_bytes: int
    bpp: float
    tau: float
    symbols_per_pixel: float
    mean_bits: float
    model: str
    return_picture: bool
    return_activation: bool
    allow_any_aspect: bool
    traceparent: str
    sender: str
    adaptive: bool
    deadline_seconds: float
    harq: int
    analogue: bool
    picture_format: _link_pb2.PictureFormat
    stream_id: str
    focus: _containers.RepeatedCompositeFieldContainer[Focus]
    follow_gaze: bool
    captured_at: float
    skipped: int
    frame_rate: float
    sequence: int
    def __init__(self, panorama_id: _Optional[str] = ..., source: _Optional[str] = ..., image_bytes: _Optional[int] = ..., bpp: _Optional[float] = ..., tau: _Optional[float] = ..., symbols_per_pixel: _Optional[float] = ..., mean_bits: _Optional[float] = ..., model: _Optional[str] = ..., return_picture: _Optional[bool] = ..., return_activation: _Optional[bool] = ..., allow_any_aspect: _Optional[bool] = ..., traceparent: _Optional[str] = ..., sender: _Optional[str] = ..., adaptive: _Optional[bool] = ..., deadline_seconds: _Optional[float] = ..., harq: _Optional[int] = ..., analogue: _Optional[bool] = ..., picture_format: _Optional[_Union[_link_pb2.PictureFormat, str]] = ..., stream_id: _Optional[str] = ..., focus: _Optional[_Iterable[_Union[Focus, _Mapping]]] = ..., follow_gaze: _Optional[bool] = ..., captured_at: _Optional[float] = ..., skipped: _Optional[int] = ..., frame_rate: _Optional[float] = ..., sequence: _Optional[int] = ...) -> None: ...

class Focus(_message.Message):
    __slots__ = ("yaw", "pitch", "width")
    YAW_FIELD_NUMBER: _ClassVar[int]
    PITCH_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    yaw: float
    pitch: float
    width: float
    def __init__(self, yaw: _Optional[float] = ..., pitch: _Optional[float] = ..., width: _Optional[float] = ...) -> None: ...

class Delivery(_message.Message):
    __slots__ = ("header", "activation", "picture")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    ACTIVATION_FIELD_NUMBER: _ClassVar[int]
    PICTURE_FIELD_NUMBER: _ClassVar[int]
    header: DeliveryHeader
    activation: bytes
    picture: bytes
    def __init__(self, header: _Optional[_Union[DeliveryHeader, _Mapping]] = ..., activation: _Optional[bytes] = ..., picture: _Optional[bytes] = ...) -> None: ...

class DeliveryHeader(_message.Message):
    __slots__ = ("panorama_id", "source", "failure", "width", "height", "model", "model_fingerprint", "bits", "bpp", "tokens", "kept", "symbols", "symbols_per_pixel", "snr_db", "segments", "concealed_tokens", "seconds", "activation_bytes", "picture_bytes", "schemes", "adaptation", "symbol_budget", "rounds", "retransmitted_symbols", "measured_snr_db", "stream")
    class SecondsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    PANORAMA_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MODEL_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    BITS_FIELD_NUMBER: _ClassVar[int]
    BPP_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    SYMBOLS_FIELD_NUMBER: _ClassVar[int]
    SYMBOLS_PER_PIXEL_FIELD_NUMBER: _ClassVar[int]
    SNR_DB_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    CONCEALED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    ACTIVATION_BYTES_FIELD_NUMBER: _ClassVar[int]
    PICTURE_BYTES_FIELD_NUMBER: _ClassVar[int]
    SCHEMES_FIELD_NUMBER: _ClassVar[int]
    ADAPTATION_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_BUDGET_FIELD_NUMBER: _ClassVar[int]
    ROUNDS_FIELD_NUMBER: _ClassVar[int]
    RETRANSMITTED_SYMBOLS_FIELD_NUMBER: _ClassVar[int]
    MEASURED_SNR_DB_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    panorama_id: str
    source: str
    failure: _link_pb2.Failure
    width: int
    height: int
    model: str
    model_fingerprint: str
    bits: _containers.RepeatedCompositeFieldContainer[LayerBits]
    bpp: float
    tokens: int
    kept: int
    symbols: int
    symbols_per_pixel: float
    snr_db: float
    segments: _containers.RepeatedCompositeFieldContainer[_link_pb2.LayerSegments]
    concealed_tokens: int
    seconds: _containers.ScalarMap[str, float]
    activation_bytes: int
    picture_bytes: int
    schemes: _containers.RepeatedCompositeFieldContainer[LayerScheme]
    adaptation: Adaptation
    symbol_budget: int
    rounds: int
    retransmitted_symbols: int
    measured_snr_db: float
    stream: StreamPicture
    def __init__(self, panorama_id: _Optional[str] = ..., source: _Optional[str] = ..., failure: _Optional[_Union[_link_pb2.Failure, _Mapping]] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., model: _Optional[str] = ..., model_fingerprint: _Optional[str] = ..., bits: _Optional[_Iterable[_Union[LayerBits, _Mapping]]] = ..., bpp: _Optional[float] = ..., tokens: _Optional[int] = ..., kept: _Optional[int] = ..., symbols: _Optional[int] = ..., symbols_per_pixel: _Optional[float] = ..., snr_db: _Optional[float] = ..., segments: _Optional[_Iterable[_Union[_link_pb2.LayerSegments, _Mapping]]] = ..., concealed_tokens: _Optional[int] = ..., seconds: _Optional[_Mapping[str, float]] = ..., activation_bytes: _Optional[int] = ..., picture_bytes: _Optional[int] = ..., schemes: _Optional[_Iterable[_Union[LayerScheme, _Mapping]]] = ..., adaptation: _Optional[_Union[Adaptation, _Mapping]] = ..., symbol_budget: _Optional[int] = ..., rounds: _Optional[int] = ..., retransmitted_symbols: _Optional[int] = ..., measured_snr_db: _Optional[float] = ..., stream: _Optional[_Union[StreamPicture, _Mapping]] = ...) -> None: ...

class StreamPicture(_message.Message):
    __slots__ = ("number", "reference", "unchanged", "refined", "new", "focus", "overtaken")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    UNCHANGED_FIELD_NUMBER: _ClassVar[int]
    REFINED_FIELD_NUMBER: _ClassVar[int]
    NEW_FIELD_NUMBER: _ClassVar[int]
    FOCUS_FIELD_NUMBER: _ClassVar[int]
    OVERTAKEN_FIELD_NUMBER: _ClassVar[int]
    number: int
    reference: int
    unchanged: int
    refined: int
    new: int
    focus: _containers.RepeatedCompositeFieldContainer[Focus]
    overtaken: bool
    def __init__(self, number: _Optional[int] = ..., reference: _Optional[int] = ..., unchanged: _Optional[int] = ..., refined: _Optional[int] = ..., new: _Optional[int] = ..., focus: _Optional[_Iterable[_Union[Focus, _Mapping]]] = ..., overtaken: _Optional[bool] = ...) -> None: ...

class LayerScheme(_message.Message):
    __slots__ = ("layer", "modulation", "code_rate", "segments")
    LAYER_FIELD_NUMBER: _ClassVar[int]
    MODULATION_FIELD_NUMBER: _ClassVar[int]
    CODE_RATE_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    layer: _link_pb2.Layer
    modulation: _link_pb2.Modulation
    code_rate: float
    segments: int
    def __init__(self, layer: _Optional[_Union[_link_pb2.Layer, str]] = ..., modulation: _Optional[_Union[_link_pb2.Modulation, str]] = ..., code_rate: _Optional[float] = ..., segments: _Optional[int] = ...) -> None: ...

class Adaptation(_message.Message):
    __slots__ = ("snr_db", "margin_db", "fading", "base_layer_margin_db")
    SNR_DB_FIELD_NUMBER: _ClassVar[int]
    MARGIN_DB_FIELD_NUMBER: _ClassVar[int]
    FADING_FIELD_NUMBER: _ClassVar[int]
    BASE_LAYER_MARGIN_DB_FIELD_NUMBER: _ClassVar[int]
    snr_db: float
    margin_db: float
    fading: float
    base_layer_margin_db: float
    def __init__(self, snr_db: _Optional[float] = ..., margin_db: _Optional[float] = ..., fading: _Optional[float] = ..., base_layer_margin_db: _Optional[float] = ...) -> None: ...

class LayerBits(_message.Message):
    __slots__ = ("layer", "bits")
    LAYER_FIELD_NUMBER: _ClassVar[int]
    BITS_FIELD_NUMBER: _ClassVar[int]
    layer: _link_pb2.Layer
    bits: int
    def __init__(self, layer: _Optional[_Union[_link_pb2.Layer, str]] = ..., bits: _Optional[int] = ...) -> None: ...
