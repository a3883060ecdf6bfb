from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FadingModel(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FADING_MODEL_UNSPECIFIED: _ClassVar[FadingModel]
    FADING_MODEL_IDEAL: _ClassVar[FadingModel]
    FADING_MODEL_AWGN: _ClassVar[FadingModel]
    FADING_MODEL_RAYLEIGH: _ClassVar[FadingModel]
    FADING_MODEL_RICIAN: _ClassVar[FadingModel]
FADING_MODEL_UNSPECIFIED: FadingModel
FADING_MODEL_IDEAL: FadingModel
FADING_MODEL_AWGN: FadingModel
FADING_MODEL_RAYLEIGH: FadingModel
FADING_MODEL_RICIAN: FadingModel

class GetConditionsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetConditionsResponse(_message.Message):
    __slots__ = ("conditions",)
    CONDITIONS_FIELD_NUMBER: _ClassVar[int]
    conditions: Conditions
    def __init__(self, conditions: _Optional[_Union[Conditions, _Mapping]] = ...) -> None: ...

class SetConditionsRequest(_message.Message):
    __slots__ = ("conditions",)
    CONDITIONS_FIELD_NUMBER: _ClassVar[int]
    conditions: Conditions
    def __init__(self, conditions: _Optional[_Union[Conditions, _Mapping]] = ...) -> None: ...

class SetConditionsResponse(_message.Message):
    __slots__ = ("conditions",)
    CONDITIONS_FIELD_NUMBER: _ClassVar[int]
    conditions: Conditions
    def __init__(self, conditions: _Optional[_Union[Conditions, _Mapping]] = ...) -> None: ...

class Conditions(_message.Message):
    __slots__ = ("model", "snr_db", "coherence_symbols", "rician_k_db", "seed", "unseeded")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SNR_DB_FIELD_NUMBER: _ClassVar[int]
    COHERENCE_SYMBOLS_FIELD_NUMBER: _ClassVar[int]
    RICIAN_K_DB_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    UNSEEDED_FIELD_NUMBER: _ClassVar[int]
    model: FadingModel
    snr_db: float
    coherence_symbols: int
    rician_k_db: float
    seed: int
    unseeded: bool
    def __init__(self, model: _Optional[_Union[FadingModel, str]] = ..., snr_db: _Optional[float] = ..., coherence_symbols: _Optional[int] = ..., rician_k_db: _Optional[float] = ..., seed: _Optional[int] = ..., unseeded: _Optional[bool] = ...) -> None: ...
