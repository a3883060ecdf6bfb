import re
from pathlib import Path

import pytest

from panolink.rpc.server.settings import CommonSettings, load_settings
from panolink.services.channel.settings import ChannelSettings
from panolink.services.receiver.settings import ReceiverSettings
from panolink.services.transmitter.settings import TransmitterSettings

DOCS = Path(__file__).parents[3] / "docs"
KINDS = (ChannelSettings, ReceiverSettings, TransmitterSettings)


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in [name for name in os.environ if name.startswith("PANOLINK_")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize("kind", KINDS)
def test_defaults_are_valid_and_explained(kind: type[ChannelSettings]) -> None:
    settings = load_settings(kind)
    assert settings.listen.startswith("127.0.0.1:")


def test_the_pages_name_the_settings_that_the_viewer_shares() -> None:
    shared = {name.upper() for name in CommonSettings.model_fields} - {"CREDENTIALS", "INSECURE"}
    protocol, viewer = ((DOCS / f"{page}.md").read_text() for page in ("protocol", "viewer"))
    sentence = protocol.split("has settings of its own and, of these, ")[1].split("\n\n")[0]
    assert set(re.findall("`([A-Z_]+)`", sentence)) == shared
    assert shared <= set(re.findall("`([A-Z_]+)`", viewer))


def test_the_services_find_one_another_by_default() -> None:
    channel, receiver = load_settings(ChannelSettings), load_settings(ReceiverSettings)
    assert load_settings(TransmitterSettings).target == channel.listen
    assert channel.target == receiver.listen


def test_values_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PANOLINK_TRANSMITTER_TARGET", "dns:///receivers:50053")
    monkeypatch.setenv("PANOLINK_TRANSMITTER_MODELS", "base, paper")
    monkeypatch.setenv("PANOLINK_TRANSMITTER_METRICS_LISTEN", "off")
    monkeypatch.setenv("PANOLINK_CHANNEL_SEED", "")
    settings = load_settings(TransmitterSettings)
    assert settings.target == "dns:///receivers:50053"
    assert settings.models == ("base", "paper")
    assert settings.metrics_listen == "off"
    assert load_settings(ChannelSettings).seed is None


@pytest.mark.parametrize(
    ("kind", "name", "value", "allowed"),
    [
        (ChannelSettings, "PANOLINK_CHANNEL_SNR_DB", "loud", "valid number"),
        (ChannelSettings, "PANOLINK_CHANNEL_SNR_DB", "1000", "less than or equal to 100"),
        (ChannelSettings, "PANOLINK_CHANNEL_MODEL", "cable", "'tdl-d' or 'tdl-e'"),
        (ReceiverSettings, "PANOLINK_RECEIVER_LISTEN", "everywhere", "host:port"),
        (ReceiverSettings, "PANOLINK_RECEIVER_WATCH_POLICY", "drop", "'block' or 'newest'"),
        (ReceiverSettings, "PANOLINK_RECEIVER_REALISM", "1.5", "from 0 (fidelity) to 1 (perceptual)"),
        (ReceiverSettings, "PANOLINK_RECEIVER_REALISM", "nan", "from 0 (fidelity) to 1"),
        (ReceiverSettings, "PANOLINK_RECEIVER_MAX_STREAMS", "0", "greater than or equal to 1"),
        (TransmitterSettings, "PANOLINK_TRANSMITTER_TARGET", "somewhere:99999", "port up to 65535"),
        (TransmitterSettings, "PANOLINK_TRANSMITTER_TARGET", "dns:///receiver..example:50053", "no name of a host"),
        (TransmitterSettings, "PANOLINK_TRANSMITTER_TARGET", "dns:///receiver", "host:port"),
        (TransmitterSettings, "PANOLINK_TRANSMITTER_MODELS", ",", "at least 1"),
    ],
)
def test_a_bad_value_stops_with_its_name_and_what_is_allowed(
    kind: type[ChannelSettings],
    name: str,
    value: str,
    allowed: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as stopped:
        load_settings(kind)
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{name}={value}: ")
    assert allowed in line


def test_a_decoder_and_a_realism_have_to_say_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PANOLINK_RECEIVER_DECODER", "perceptual")
    monkeypatch.setenv("PANOLINK_RECEIVER_REALISM", "1")
    assert load_settings(ReceiverSettings).realism == 1
    monkeypatch.setenv("PANOLINK_RECEIVER_REALISM", "0.5")
    with pytest.raises(SystemExit) as stopped:
        load_settings(ReceiverSettings)
    assert stopped.value.code == 2
    assert capsys.readouterr().err == (
        "PANOLINK_RECEIVER_DECODER and PANOLINK_RECEIVER_REALISM: decoder perceptual is realism 1, not 0.5: "
        "give one of the two\n"
    )
    monkeypatch.delenv("PANOLINK_RECEIVER_DECODER")
    assert load_settings(ReceiverSettings).realism == 0.5
