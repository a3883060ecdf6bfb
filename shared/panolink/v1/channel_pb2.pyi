from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Clock(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CLOCK_UNSPECIFIED: _ClassVar[Clock]
    CLOCK_STREAM: _ClassVar[Clock]
    CLOCK_WALL: _ClassVar[Clock]

class FadingModel(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FADING_MODEL_UNSPECIFIED: _ClassVar[FadingModel]
    FADING_MODEL_IDEAL: _ClassVar[FadingModel]
    FADING_MODEL_AWGN: _ClassVar[FadingModel]
    FADING_MODEL_RAYLEIGH: _ClassVar[FadingModel]
    FADING_MODEL_RICIAN: _ClassVar[FadingModel]
    FADING_MODEL_JAKES: _ClassVar[FadingModel]
    FADING_MODEL_TDL_A: _ClassVar[FadingModel]
    FADING_MODEL_TDL_B: _ClassVar[FadingModel]
    FADING_MODEL_TDL_C: _ClassVar[FadingModel]
    FADING_MODEL_TDL_D: _ClassVar[FadingModel]
    FADING_MODEL_TDL_E: _ClassVar[FadingModel]
CLOCK_UNSPECIFIED: Clock
CLOCK_STREAM: Clock
CLOCK_WALL: Clock
FADING_MODEL_UNSPECIFIED: FadingModel
FADING_MODEL_IDEAL: FadingModel
FADING_MODEL_AWGN: FadingModel
FADING_MODEL_RAYLEIGH: FadingModel
FADING_MODEL_RICIAN: FadingModel
FADING_MODEL_JAKES: FadingModel
FADING_MODEL_TDL_A: FadingModel
FADING_MODEL_TDL_B: FadingModel
FADING_MODEL_TDL_C: FadingModel
FADING_MODEL_TDL_D: FadingModel
FADING_MODEL_TDL_E: FadingModel

class GetConditionsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetConditionsResponse(_message.Message):
    __slots__ = ("conditions", "in_force", "notes")
    CONDITIONS_FIELD_NUMBER: _ClassVar[int]
    IN_FORCE_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    conditions: Conditions
    in_force: ConditionsInForce
    notes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, conditions: _Optional[_Union[Conditions, _Mapping]] = ..., in_force: _Optional[_Union[ConditionsInForce, _Mapping]] = ..., notes: _Optional[_Iterable[str]] = ...) -> None: ...

class ConditionsInForce(_message.Message):
    __slots__ = ("conditions", "seconds")
    CONDITIONS_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    conditions: Conditions
    seconds: float
    def __init__(self, conditions: _Optional[_Union[Conditions, _Mapping]] = ..., seconds: _Optional[float] = ...) -> None: ...

class SetConditionsRequest(_message.Message):
    __slots__ = ("conditions",)
    CONDITIONS_FIELD_NUMBER: _ClassVar[int]
    conditions: Conditions
    def __init__(self, conditions: _Optional[_Union[Conditions, _Mapping]] = ...) -> None: ...

class SetConditionsResponse(_message.Message):
    __slots__ = ("conditions", "notes")
    CONDITIONS_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    conditions: Conditions
    notes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, conditions: _Optional[_Union[Conditions, _Mapping]] = ..., notes: _Optional[_Iterable[str]] = ...) -> None: ...

class Conditions(_message.Message):
    __slots__ = ("model", "snr_db", "coherence_symbols", "rician_k_db", "seed", "unseeded", "doppler_hz", "symbol_rate_hz", "delay_spread_s", "subcarriers", "erasure_rate", "erasure_burst", "packet_symbols", "clock", "scenario", "trace", "unscheduled")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SNR_DB_FIELD_NUMBER: _ClassVar[int]
    COHERENCE_SYMBOLS_FIELD_NUMBER: _ClassVar[int]
    RICIAN_K_DB_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    UNSEEDED_FIELD_NUMBER: _ClassVar[int]
    DOPPLER_HZ_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_RATE_HZ_FIELD_NUMBER: _ClassVar[int]
    DELAY_SPREAD_S_FIELD_NUMBER: _ClassVar[int]
    SUBCARRIERS_FIELD_NUMBER: _ClassVar[int]
    ERASURE_RATE_FIELD_NUMBER: _ClassVar[int]
    ERASURE_BURST_FIELD_NUMBER: _ClassVar[int]
    PACKET_SYMBOLS_FIELD_NUMBER: _ClassVar[int]
    CLOCK_FIELD_NUMBER: _ClassVar[int]
    SCENARIO_FIELD_NUMBER: _ClassVar[int]
    TRACE_FIELD_NUMBER: _ClassVar[int]
    UNSCHEDULED_FIELD_NUMBER: _ClassVar[int]
    model: FadingModel
    snr_db: float
    coherence_symbols: int
    rician_k_db: float
    seed: int
    unseeded: bool
    doppler_hz: float
    symbol_rate_hz: float
    delay_spread_s: float
    subcarriers: int
    erasure_rate: float
    erasure_burst: float
    packet_symbols: int
    clock: Clock
    scenario: Scenario
    trace: SnrTrace
    unscheduled: bool
    def __init__(self, model: _Optional[_Union[FadingModel, str]] = ..., snr_db: _Optional[float] = ..., coherence_symbols: _Optional[int] = ..., rician_k_db: _Optional[float] = ..., seed: _Optional[int] = ..., unseeded: _Optional[bool] = ..., doppler_hz: _Optional[float] = ..., symbol_rate_hz: _Optional[float] = ..., delay_spread_s: _Optional[float] = ..., subcarriers: _Optional[int] = ..., erasure_rate: _Optional[float] = ..., erasure_burst: _Optional[float] = ..., packet_symbols: _Optional[int] = ..., clock: _Optional[_Union[Clock, str]] = ..., scenario: _Optional[_Union[Scenario, _Mapping]] = ..., trace: _Optional[_Union[SnrTrace, _Mapping]] = ..., unscheduled: _Optional[bool] = ...) -> None: ...

class Scenario(_message.Message):
    __slots__ = ("phases", "repeat")
    PHASES_FIELD_NUMBER: _ClassVar[int]
    REPEAT_FIELD_NUMBER: _ClassVar[int]
    phases: _containers.RepeatedCompositeFieldContainer[Phase]
    repeat: bool
    def __init__(self, phases: _Optional[_Iterable[_Union[Phase, _Mapping]]] = ..., repeat: _Optional[bool] = ...) -> None: ...

class Phase(_message.Message):
    __slots__ = ("seconds", "changes", "final_snr_db")
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    FINAL_SNR_DB_FIELD_NUMBER: _ClassVar[int]
    seconds: float
    changes: Conditions
    final_snr_db: float
    def __init__(self, seconds: _Optional[float] = ..., changes: _Optional[_Union[Conditions, _Mapping]] = ..., final_snr_db: _Optional[float] = ...) -> None: ...

class SnrTrace(_message.Message):
    __slots__ = ("times_s", "snr_db", "repeat")
    TIMES_S_FIELD_NUMBER: _ClassVar[int]
    SNR_DB_FIELD_NUMBER: _ClassVar[int]
    REPEAT_FIELD_NUMBER: _ClassVar[int]
    times_s: _containers.RepeatedScalarFieldContainer[float]
    snr_db: _containers.RepeatedScalarFieldContainer[float]
    repeat: bool
    def __init__(self, times_s: _Optional[_Iterable[float]] = ..., snr_db: _Optional[_Iterable[float]] = ..., repeat: _Optional[bool] = ...) -> None: ...
