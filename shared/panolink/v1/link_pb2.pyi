from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PictureFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PICTURE_FORMAT_UNSPECIFIED: _ClassVar[PictureFormat]
    PICTURE_FORMAT_PNG: _ClassVar[PictureFormat]
    PICTURE_FORMAT_WEBP: _ClassVar[PictureFormat]
    PICTURE_FORMAT_JPEG: _ClassVar[PictureFormat]
    PICTURE_FORMAT_RGB8: _ClassVar[PictureFormat]

class Layer(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LAYER_UNSPECIFIED: _ClassVar[Layer]
    LAYER_HEADER: _ClassVar[Layer]
    LAYER_MASK: _ClassVar[Layer]
    LAYER_INDICES: _ClassVar[Layer]
    LAYER_FEATURES: _ClassVar[Layer]

class Modulation(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODULATION_UNSPECIFIED: _ClassVar[Modulation]
    MODULATION_QPSK: _ClassVar[Modulation]
    MODULATION_16QAM: _ClassVar[Modulation]
    MODULATION_64QAM: _ClassVar[Modulation]
    MODULATION_ANALOGUE: _ClassVar[Modulation]

class SampleFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SAMPLE_FORMAT_UNSPECIFIED: _ClassVar[SampleFormat]
    SAMPLE_FORMAT_CF32_LE: _ClassVar[SampleFormat]
    SAMPLE_FORMAT_CI16_LE: _ClassVar[SampleFormat]
PICTURE_FORMAT_UNSPECIFIED: PictureFormat
PICTURE_FORMAT_PNG: PictureFormat
PICTURE_FORMAT_WEBP: PictureFormat
PICTURE_FORMAT_JPEG: PictureFormat
PICTURE_FORMAT_RGB8: PictureFormat
LAYER_UNSPECIFIED: Layer
LAYER_HEADER: Layer
LAYER_MASK: Layer
LAYER_INDICES: Layer
LAYER_FEATURES: Layer
MODULATION_UNSPECIFIED: Modulation
MODULATION_QPSK: Modulation
MODULATION_16QAM: Modulation
MODULATION_64QAM: Modulation
MODULATION_ANALOGUE: Modulation
SAMPLE_FORMAT_UNSPECIFIED: SampleFormat
SAMPLE_FORMAT_CF32_LE: SampleFormat
SAMPLE_FORMAT_CI16_LE: SampleFormat

class Burst(_message.Message):
    __slots__ = ("header", "csi", "samples")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    CSI_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    header: BurstHeader
    csi: bytes
    samples: bytes
    def __init__(self, header: _Optional[_Union[BurstHeader, _Mapping]] = ..., csi: _Optional[bytes] = ..., samples: _Optional[bytes] = ...) -> None: ...

class BurstHeader(_message.Message):
    __slots__ = ("burst_id", "model_fingerprint", "source", "segments", "symbols", "sample_format", "sample_scale", "channel_state", "return_picture", "traceparent", "pilot_spacing", "harq", "content_digest", "picture_format", "stream_id", "captured_at", "sequence")
    BURST_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    SYMBOLS_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_FORMAT_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_SCALE_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_STATE_FIELD_NUMBER: _ClassVar[int]
    RETURN_PICTURE_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    PILOT_SPACING_FIELD_NUMBER: _ClassVar[int]
    HARQ_FIELD_NUMBER: _ClassVar[int]
    CONTENT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    PICTURE_FORMAT_FIELD_NUMBER: _ClassVar[int]
    STREAM_ID_FIELD_NUMBER: _ClassVar[int]
    CAPTURED_AT_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    burst_id: str
    model_fingerprint: str
    source: str
    segments: _containers.RepeatedCompositeFieldContainer[SegmentFormat]
    symbols: int
    sample_format: SampleFormat
    sample_scale: float
    channel_state: ChannelState
    return_picture: bool
    traceparent: str
    pilot_spacing: int
    harq: Harq
    content_digest: bytes
    picture_format: PictureFormat
    stream_id: str
    captured_at: float
    sequence: int
    def __init__(self, burst_id: _Optional[str] = ..., model_fingerprint: _Optional[str] = ..., source: _Optional[str] = ..., segments: _Optional[_Iterable[_Union[SegmentFormat, _Mapping]]] = ..., symbols: _Optional[int] = ..., sample_format: _Optional[_Union[SampleFormat, str]] = ..., sample_scale: _Optional[float] = ..., channel_state: _Optional[_Union[ChannelState, _Mapping]] = ..., return_picture: _Optional[bool] = ..., traceparent: _Optional[str] = ..., pilot_spacing: _Optional[int] = ..., harq: _Optional[_Union[Harq, _Mapping]] = ..., content_digest: _Optional[bytes] = ..., picture_format: _Optional[_Union[PictureFormat, str]] = ..., stream_id: _Optional[str] = ..., captured_at: _Optional[float] = ..., sequence: _Optional[int] = ...) -> None: ...

class Harq(_message.Message):
    __slots__ = ("round", "rounds_left", "wait_seconds", "numbers")
    ROUND_FIELD_NUMBER: _ClassVar[int]
    ROUNDS_LEFT_FIELD_NUMBER: _ClassVar[int]
    WAIT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    NUMBERS_FIELD_NUMBER: _ClassVar[int]
    round: int
    rounds_left: int
    wait_seconds: float
    numbers: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, round: _Optional[int] = ..., rounds_left: _Optional[int] = ..., wait_seconds: _Optional[float] = ..., numbers: _Optional[_Iterable[int]] = ...) -> None: ...

class SegmentFormat(_message.Message):
    __slots__ = ("payload_bytes", "modulation", "code_rate", "layer", "unsent", "values")
    PAYLOAD_BYTES_FIELD_NUMBER: _ClassVar[int]
    MODULATION_FIELD_NUMBER: _ClassVar[int]
    CODE_RATE_FIELD_NUMBER: _ClassVar[int]
    LAYER_FIELD_NUMBER: _ClassVar[int]
    UNSENT_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    payload_bytes: int
    modulation: Modulation
    code_rate: float
    layer: Layer
    unsent: bool
    values: int
    def __init__(self, payload_bytes: _Optional[int] = ..., modulation: _Optional[_Union[Modulation, str]] = ..., code_rate: _Optional[float] = ..., layer: _Optional[_Union[Layer, str]] = ..., unsent: _Optional[bool] = ..., values: _Optional[int] = ...) -> None: ...

class ChannelState(_message.Message):
    __slots__ = ("coefficients", "coherence_symbols", "noise_variance", "snr_db", "fading_symbols")
    COEFFICIENTS_FIELD_NUMBER: _ClassVar[int]
    COHERENCE_SYMBOLS_FIELD_NUMBER: _ClassVar[int]
    NOISE_VARIANCE_FIELD_NUMBER: _ClassVar[int]
    SNR_DB_FIELD_NUMBER: _ClassVar[int]
    FADING_SYMBOLS_FIELD_NUMBER: _ClassVar[int]
    coefficients: int
    coherence_symbols: int
    noise_variance: float
    snr_db: float
    fading_symbols: int
    def __init__(self, coefficients: _Optional[int] = ..., coherence_symbols: _Optional[int] = ..., noise_variance: _Optional[float] = ..., snr_db: _Optional[float] = ..., fading_symbols: _Optional[int] = ...) -> None: ...

class Receipt(_message.Message):
    __slots__ = ("header", "picture")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    PICTURE_FIELD_NUMBER: _ClassVar[int]
    header: ReceiptHeader
    picture: bytes
    def __init__(self, header: _Optional[_Union[ReceiptHeader, _Mapping]] = ..., picture: _Optional[bytes] = ...) -> None: ...

class ReceiptHeader(_message.Message):
    __slots__ = ("burst_id", "failure", "segments", "snr_db", "seconds", "concealed_tokens", "picture_bytes", "measured_snr_db", "fading", "needed", "needs_first_round", "rounds", "one_way", "lost", "reference_needed", "gazes", "overtaken")
    class SecondsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    BURST_ID_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    SNR_DB_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    CONCEALED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    PICTURE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEASURED_SNR_DB_FIELD_NUMBER: _ClassVar[int]
    FADING_FIELD_NUMBER: _ClassVar[int]
    NEEDED_FIELD_NUMBER: _ClassVar[int]
    NEEDS_FIRST_ROUND_FIELD_NUMBER: _ClassVar[int]
    ROUNDS_FIELD_NUMBER: _ClassVar[int]
    ONE_WAY_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_NEEDED_FIELD_NUMBER: _ClassVar[int]
    GAZES_FIELD_NUMBER: _ClassVar[int]
    OVERTAKEN_FIELD_NUMBER: _ClassVar[int]
    burst_id: str
    failure: Failure
    segments: _containers.RepeatedCompositeFieldContainer[LayerSegments]
    snr_db: float
    seconds: _containers.ScalarMap[str, float]
    concealed_tokens: int
    picture_bytes: int
    measured_snr_db: float
    fading: float
    needed: _containers.RepeatedScalarFieldContainer[int]
    needs_first_round: bool
    rounds: int
    one_way: bool
    lost: _containers.RepeatedScalarFieldContainer[int]
    reference_needed: bool
    gazes: _containers.RepeatedCompositeFieldContainer[Gaze]
    overtaken: bool
    def __init__(self, burst_id: _Optional[str] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ..., segments: _Optional[_Iterable[_Union[LayerSegments, _Mapping]]] = ..., snr_db: _Optional[float] = ..., seconds: _Optional[_Mapping[str, float]] = ..., concealed_tokens: _Optional[int] = ..., picture_bytes: _Optional[int] = ..., measured_snr_db: _Optional[float] = ..., fading: _Optional[float] = ..., needed: _Optional[_Iterable[int]] = ..., needs_first_round: _Optional[bool] = ..., rounds: _Optional[int] = ..., one_way: _Optional[bool] = ..., lost: _Optional[_Iterable[int]] = ..., reference_needed: _Optional[bool] = ..., gazes: _Optional[_Iterable[_Union[Gaze, _Mapping]]] = ..., overtaken: _Optional[bool] = ...) -> None: ...

class Gaze(_message.Message):
    __slots__ = ("yaw", "pitch", "width", "age_seconds")
    YAW_FIELD_NUMBER: _ClassVar[int]
    PITCH_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    AGE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    yaw: float
    pitch: float
    width: float
    age_seconds: float
    def __init__(self, yaw: _Optional[float] = ..., pitch: _Optional[float] = ..., width: _Optional[float] = ..., age_seconds: _Optional[float] = ...) -> None: ...

class Failure(_message.Message):
    __slots__ = ("code", "message")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    code: int
    message: str
    def __init__(self, code: _Optional[int] = ..., message: _Optional[str] = ...) -> None: ...

class LayerSegments(_message.Message):
    __slots__ = ("layer", "sent", "lost", "unsent", "recovered", "erased")
    LAYER_FIELD_NUMBER: _ClassVar[int]
    SENT_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    UNSENT_FIELD_NUMBER: _ClassVar[int]
    RECOVERED_FIELD_NUMBER: _ClassVar[int]
    ERASED_FIELD_NUMBER: _ClassVar[int]
    layer: Layer
    sent: int
    lost: int
    unsent: int
    recovered: int
    erased: int
    def __init__(self, layer: _Optional[_Union[Layer, str]] = ..., sent: _Optional[int] = ..., lost: _Optional[int] = ..., unsent: _Optional[int] = ..., recovered: _Optional[int] = ..., erased: _Optional[int] = ...) -> None: ...
