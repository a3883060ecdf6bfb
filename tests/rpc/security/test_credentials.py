"""Files of certificates, keys and tokens: what is taken, what is refused, and when they are read again."""

import os
from pathlib import Path

import pytest

from panolink.errors import SettingError
from panolink.rpc.security.credentials import Credentials, is_loopback
from tests import certificates

TOKEN = "a-token-that-is-long-enough"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return certificates.make(tmp_path / "one", "channel")


def refused(**files: Path) -> str:
    with pytest.raises(SettingError) as error:
        Credentials(**files)
    line = str(error.value)
    assert "\n" not in line
    return line


def test_nothing_given_is_in_the_clear() -> None:
    credentials = Credentials()
    assert not credentials.secure_server and not credentials.secure_client
    assert credentials.server() is None
    assert credentials.client("receiver:50053") is None


def test_the_environment_names_the_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in certificates.variables(folder, "channel").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PANOLINK_TOKEN_FILE", "")
    credentials = Credentials.from_environment()
    assert credentials.secure_server and credentials.secure_client
    assert credentials.material.chain == (folder / "channel.crt").read_bytes()
    assert credentials.material.token is None


def test_one_of_certificate_and_key_is_not_enough(folder: Path) -> None:
    assert "needs PANOLINK_TLS_KEY as well" in refused(cert=folder / "channel.crt")
    assert "needs PANOLINK_TLS_CERT as well" in refused(key=folder / "channel.key")


@pytest.mark.parametrize("name", ["ca", "cert", "key"])
def test_files_that_are_missing_or_are_none(folder: Path, tmp_path: Path, name: str) -> None:
    files = {"ca": folder / "ca.crt", "cert": folder / "channel.crt", "key": folder / "channel.key"}
    variable = f"PANOLINK_TLS_{name.upper()}"
    absent = tmp_path / "absent"
    assert refused(**files | {name: absent}) == f"{variable}={absent}: no such file or directory"
    rubbish = tmp_path / "rubbish"
    rubbish.write_bytes(b"-----BEGIN CERTIFICATE-----\nrubbish\n")
    line = refused(**files | {name: rubbish})
    assert line.startswith(f"{variable}={rubbish}: not a ") and line.endswith("in PEM format")
    assert refused(**files | {name: tmp_path}) == f"{variable}={tmp_path}: is a directory"


def test_a_key_that_does_not_fit(folder: Path) -> None:
    line = refused(cert=folder / "channel.crt", key=folder / "ca.key")
    assert line.startswith(f"PANOLINK_TLS_KEY={folder / 'ca.key'}: does not fit")


def test_a_key_with_a_passphrase(folder: Path, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization as ser

    key = ser.load_pem_private_key((folder / "channel.key").read_bytes(), None)
    locked = tmp_path / "locked.key"
    locked.write_bytes(
        key.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.PKCS8, ser.BestAvailableEncryption(b"secret"))
    )
    assert "needs a passphrase" in refused(cert=folder / "channel.crt", key=locked)


def test_certificates_that_have_expired(tmp_path: Path) -> None:
    folder = certificates.make_expired(certificates.make(tmp_path, "client"), "old")
    line = refused(cert=folder / "old.crt", key=folder / "old.key")
    assert line.startswith(f"PANOLINK_TLS_CERT={folder / 'old.crt'}: expired on 20")
    assert "expired on" in refused(ca=folder / "old.crt")
    bundle = tmp_path / "bundle.crt"
    bundle.write_bytes((folder / "old.crt").read_bytes() + (folder / "ca.crt").read_bytes())
    assert Credentials(ca=bundle).secure_client  # one that is valid will do


@pytest.mark.parametrize("content", ["", "short", "two words, and long enough", "umlaut-ä-and-long-enough", "x" * 5000])
def test_tokens_that_are_none(tmp_path: Path, content: str) -> None:
    file = tmp_path / "token"
    file.write_text(content)
    line = refused(token_file=file)
    assert line == f"PANOLINK_TOKEN_FILE={file}: allowed is one line of 16 to 4096 ASCII characters without blanks"


def test_a_token_stays_on_this_machine_or_under_tls(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    plain, secured = Credentials(token_file=file), Credentials(token_file=file, ca=folder / "ca.crt")
    assert plain.material.token == TOKEN
    for target in ("127.0.0.1:50051", "localhost:50051", "[::1]:50051", "dns:///localhost:50051"):
        assert plain.client(target)
    for target in ("receiver:50053", "10.0.0.7:50053", "dns:///receiver:50053", "localhost.example:1"):
        with pytest.raises(SettingError, match=f"not sent to {target} in the clear; set PANOLINK_TLS_CA"):
            plain.client(target)
        assert secured.client(target)


def test_loopback() -> None:
    assert all(map(is_loopback, ("127.0.0.1:1", "127.8.8.8:1", "[::1]:1", "localhost:1")))
    assert not any(map(is_loopback, ("0.0.0.0:1", "[::]:1", "10.1.2.3:1", "example.org:1", "127.0.0.1.example:1")))


def test_changed_files_are_read_again(folder: Path) -> None:
    credentials = certificates.of(folder, "channel")
    before = credentials.material
    assert credentials.material is before
    certificates.make(folder, "next")
    (folder / "next.crt").replace(folder / "channel.crt")
    # The certificate is new and the key still old: what was there before is used, until both are there.
    assert credentials.material is before
    (folder / "next.key").replace(folder / "channel.key")
    assert credentials.material.chain != before.chain
    assert credentials.material is credentials.material


def test_a_file_that_vanishes_changes_nothing(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    credentials = certificates.of(folder, "channel")
    before = credentials.material
    (folder / "channel.crt").unlink()
    assert credentials.material is before and credentials.material is before
    (record,) = caplog.records  # told once, not for every connection
    assert "no such file" in record.getMessage() and "stays in use" in record.getMessage()


def test_secrets_as_kubernetes_mounts_them(folder: Path, tmp_path: Path) -> None:
    """The files are links into a folder that is itself a link, which is what changes."""
    current, mounted = tmp_path / "..data", tmp_path / "channel.crt"
    current.symlink_to(folder)
    mounted.symlink_to(current / "channel.crt")
    key = tmp_path / "channel.key"
    key.symlink_to(current / "channel.key")
    credentials = Credentials(cert=mounted, key=key)
    before = credentials.material
    other = certificates.make(tmp_path / "two", "channel")
    (tmp_path / "new").symlink_to(other)
    os.replace(tmp_path / "new", current)
    assert credentials.material.chain == (other / "channel.crt").read_bytes() != before.chain


def test_listening(folder: Path) -> None:
    Credentials().check_server("LISTEN", "127.0.0.1:50051", insecure=False)
    Credentials().check_server("LISTEN", "0.0.0.0:50051", insecure=True)
    certificates.of(folder, "channel").check_server("LISTEN", "0.0.0.0:50051", insecure=False)
    with pytest.raises(SettingError, match=r"^LISTEN=0\.0\.0\.0:50051: other hosts would reach it in the clear"):
        Credentials().check_server("LISTEN", "0.0.0.0:50051", insecure=False)
    with pytest.raises(SettingError, match="a service needs PANOLINK_TLS_CERT and PANOLINK_TLS_KEY as well"):
        Credentials(ca=folder / "ca.crt").check_server("LISTEN", "127.0.0.1:50051", insecure=False)
