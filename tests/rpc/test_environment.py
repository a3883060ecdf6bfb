"""Variables that look like settings and are none."""

import subprocess
import sys

import pytest

from panolink.rpc.environment import COMMON, SERVICES, misspelt, owner_of
from panolink.rpc.security.credentials import INSECURE, Credentials
from panolink.rpc.server.settings import ObservingSettings, variable_names
from panolink.services.channel.settings import ChannelSettings
from panolink.services.receiver.settings import ReceiverSettings
from panolink.services.transmitter.settings import TransmitterSettings
from panolink.services.viewer.settings import ViewerSettings
from tests.cli.helpers import ENVIRONMENT, PANOLINK


@pytest.mark.parametrize(
    "name, nearest",
    [
        ("PANOLINK_TRANSMITTER_MODLES", "PANOLINK_TRANSMITTER_MODELS"),
        ("PANOLINK_TRANSMITER_LISTEN", "PANOLINK_TRANSMITTER_LISTEN"),
        ("PANOLINK_TRANSMITTER_QUALITYSHARE", "PANOLINK_TRANSMITTER_QUALITY_SHARE"),
        ("PANOLINK_TLS_CERTIFICATE", "PANOLINK_TLS_CERT"),
        ("PANOLINK_LOGFORMAT", "PANOLINK_LOG_FORMAT"),
        ("PANOLINK_XYZ", ""),
    ],
)
def test_the_nearest_one_is_named(name: str, nearest: str):
    settings = variable_names(TransmitterSettings)
    environment = {name: "1", "PATH": "", **dict.fromkeys(settings, "1")}
    (line,) = misspelt(environment, service="transmitter", settings=settings).values()
    assert line == f"{name} is no setting" + (f"; did you mean {nearest}?" if nearest else "")


@pytest.mark.parametrize(
    "name",
    [
        *("PANOLINK_RECEIVER_MODLES", "PANOLINK_CHANEL_SNR", "PANOLINK_TEST_MODEL"),  # others' to tell
        *("PANOLINK_TRANSMITTER_SERVICE_HOST", "PANOLINK_TRANSMITTER_PORT_50051_TCP_ADDR", "PANOLINK_TRANSMITTER_PORT"),
        *("OTHER_SETTING", "PANOLINKER_X"),
    ],
)
def test_what_is_not_this_services_business(name: str):
    assert misspelt({name: "1"}, service="transmitter", settings=variable_names(TransmitterSettings)) == {}


def test_common_names_are_those_that_are_read():
    kinds = (TransmitterSettings, ChannelSettings, ReceiverSettings, ViewerSettings)
    assert {owner_of(name) for kind in kinds for name in variable_names(kind) if name != INSECURE} == set(SERVICES)
    assert {*variable_names(ObservingSettings), INSECURE} <= COMMON
    assert {"PANOLINK_TLS_CA", "PANOLINK_TLS_CERT", "PANOLINK_TLS_KEY", "PANOLINK_TOKEN_FILE"} <= COMMON
    assert Credentials.from_environment() is not None


@pytest.mark.slow
def test_commands_and_services_say_it_at_their_start():
    environment = {**ENVIRONMENT, "PANOLINK_TLS_CERTS": "x", "PANOLINK_CHANNEL_SNR": "3"}
    done = subprocess.run([*PANOLINK, "info", "base", "--json"], capture_output=True, text=True, env=environment)
    assert done.stderr == "panolink: note: PANOLINK_TLS_CERTS is no setting; did you mean PANOLINK_TLS_CERT?\n"
    environment |= {"PANOLINK_CHANNEL_LISTEN": "127.0.0.1:0", "PANOLINK_CHANNEL_METRICS_LISTEN": "off"}
    command = [sys.executable, "-m", "panolink.services.channel", "--until-stdin-ends"]
    done = subprocess.run(command, input="", capture_output=True, text=True, env=environment)
    assert done.returncode == 0
    assert "PANOLINK_CHANNEL_SNR is no setting; did you mean PANOLINK_CHANNEL_SNR_DB?" in done.stderr
    assert "PANOLINK_TLS_CERTS is no setting" in done.stderr
