"""`certs`: an authority, and certificates that other programs accept too."""

import json
import ssl
import stat
from collections.abc import Callable
from pathlib import Path

from cryptography import x509
from typer.testing import Result

from tests.cli.helpers import objects

Run = Callable[..., Result]


def names(file: Path) -> set[str]:
    certificate = x509.load_pem_x509_certificate(file.read_bytes())
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(name.value) for name in found}


def test_an_authority_and_the_usual_five(panolink: Run, tmp_path: Path):
    folder = tmp_path / "certs"
    result = panolink("certs", "--out", folder)
    assert result.exit_code == 0, result.output
    everybody = ("ca", "transmitter", "channel", "receiver", "viewer", "client")
    assert {path.name for path in folder.iterdir()} == {
        f"{name}.{kind}" for name in everybody for kind in ("crt", "key")
    }
    for name in everybody:
        assert stat.S_IMODE((folder / f"{name}.key").stat().st_mode) == 0o600
    for name in everybody[1:]:
        context = ssl.create_default_context(cafile=folder / "ca.crt")
        context.load_cert_chain(folder / f"{name}.crt", folder / f"{name}.key")  # the key fits
        assert names(folder / f"{name}.crt") == {name, "localhost", "127.0.0.1", "::1"}
    assert "PANOLINK_TLS_CA" in result.stdout


def test_hosts_and_days_as_json(panolink: Run, tmp_path: Path):
    result = panolink("certs", "receiver=receiver.example,10.0.0.7,fd00::7", "--days", "7", "--out", tmp_path, "--json")
    authority, receiver = objects(result.stdout)
    assert (authority["name"], authority["hosts"]) == ("ca", [])
    assert receiver["cert"] == str(tmp_path / "receiver.crt") and receiver["key"] == str(tmp_path / "receiver.key")
    expected = {"receiver", "receiver.example", "10.0.0.7", "fd00::7", "localhost", "127.0.0.1", "::1"}
    assert set(receiver["hosts"]) == names(tmp_path / "receiver.crt") == expected
    certificate = x509.load_pem_x509_certificate((tmp_path / "receiver.crt").read_bytes())
    assert certificate.not_valid_after_utc.isoformat() == receiver["expires"]
    assert (certificate.not_valid_after_utc - certificate.not_valid_before_utc).days == 7
    assert "secret" not in json.dumps(receiver) and "PRIVATE" not in result.stdout


def test_the_authority_that_is_there_signs_again(panolink: Run, tmp_path: Path):
    panolink("certs", "receiver", "--out", tmp_path)
    before = (tmp_path / "ca.crt").read_bytes()
    result = panolink("certs", "viewer", "--out", tmp_path, "--json")
    assert [one["name"] for one in objects(result.stdout)] == ["viewer"]
    assert (tmp_path / "ca.crt").read_bytes() == before
    authority = x509.load_pem_x509_certificate(before)
    x509.load_pem_x509_certificate((tmp_path / "viewer.crt").read_bytes()).verify_directly_issued_by(authority)


def refused(panolink: Run, *arguments: object) -> str:
    result = panolink("certs", *arguments)
    assert result.exit_code == 2 and result.stdout == ""
    (line,) = result.stderr.splitlines()
    return line


def test_nothing_is_overwritten(panolink: Run, tmp_path: Path):
    panolink("certs", "receiver", "--out", tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    line = refused(panolink, "viewer", "receiver", "--out", tmp_path)
    assert f"{tmp_path / 'receiver.crt'}: exists, and nothing is overwritten" in line
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_what_cannot_be_made(panolink: Run, tmp_path: Path):
    for text in ("../receiver", "ca", "", "re ceiver", "=host"):
        assert "allowed is NAME or NAME=HOST,HOST" in refused(panolink, text, "--out", tmp_path)
    assert "neither a host name nor an IP address" in refused(panolink, "receiver=bad_host!", "--out", tmp_path)
    assert "every name once" in refused(panolink, "receiver", "receiver", "--out", tmp_path)
    assert "before 30 days are over" in refused(panolink, "viewer", "--days", "30", "--ca-days", "3", "--out", tmp_path)
    assert not list(tmp_path.iterdir())
    assert panolink("certs", "receiver", "--ca-days", "3", "--days", "3", "--out", tmp_path).exit_code == 0
    assert "before 30 days are over" in refused(panolink, "viewer", "--days", "30", "--out", tmp_path)
    (tmp_path / "ca.key").unlink()
    assert "is there without ca.key" in refused(panolink, "viewer", "--out", tmp_path)
