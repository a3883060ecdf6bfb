import datetime
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from panolink.errors import SettingError
from panolink.rpc.security.certificate_authority import EVERYWHERE, IssuedCertificate, Subject, issue_certificates


def issue(folder: Path, *subjects: str, days: int = 30, ca_days: int = 300, **more) -> list[IssuedCertificate]:
    return issue_certificates(folder, [Subject.parse(text) for text in subjects], days=days, ca_days=ca_days, **more)


def read(issued: IssuedCertificate) -> x509.Certificate:
    return x509.load_pem_x509_certificate(issued.cert.read_bytes())


@pytest.mark.parametrize(
    ("text", "name", "hosts"),
    [
        ("receiver", "receiver", ("receiver",)),
        ("receiver=10.0.0.7, *.example.org", "receiver", ("receiver", "10.0.0.7", "*.example.org")),
        ("gpu_1=gpu-1.example", "gpu_1", ("gpu-1.example",)),  # no name of a host
        ("receiver=receiver,fd00::7", "receiver", ("receiver", "fd00::7")),
    ],
)
def test_a_subject_is_a_name_and_its_hosts(text: str, name: str, hosts: tuple[str, ...]) -> None:
    assert Subject.parse(text) == Subject(name, (*hosts, *EVERYWHERE))


@pytest.mark.parametrize(
    "text", ["", "ca", "../up", "a/b", "two words", "=host", "a" * 65, "a=-host", "a=b_c", "a=x;y"]
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match=r"allowed is NAME|neither a host name nor an IP address"):
        Subject.parse(text)


def test_certificates_say_what_they_are_for(tmp_path: Path) -> None:
    authority, service = (read(issued) for issued in issue(tmp_path / "certs", "receiver=10.0.0.7"))
    service.verify_directly_issued_by(authority)

    def extension(certificate: x509.Certificate, kind):
        return certificate.extensions.get_extension_for_class(kind).value

    assert extension(authority, x509.BasicConstraints).ca and extension(authority, x509.KeyUsage).key_cert_sign
    assert not extension(service, x509.BasicConstraints).ca and not extension(service, x509.KeyUsage).key_cert_sign
    both = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert set(extension(service, x509.ExtendedKeyUsage)) == both
    names = extension(service, x509.SubjectAlternativeName)
    assert names.get_values_for_type(x509.DNSName) == ["receiver", "localhost"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.7", "127.0.0.1", "::1"]


def test_an_authority_signs_again_and_is_not_made_anew(tmp_path: Path) -> None:
    first = issue(tmp_path, "transmitter")
    second = issue(tmp_path, "receiver", "viewer")
    assert [issued.name for issued in first + second] == ["ca", "transmitter", "receiver", "viewer"]
    for issued in second:
        read(issued).verify_directly_issued_by(read(first[0]))
        assert stat.S_IMODE(issued.key.stat().st_mode) == 0o600


def test_clocks_may_differ_and_dates_are_kept(tmp_path: Path) -> None:
    start = datetime.datetime(2030, 1, 2, tzinfo=datetime.UTC)
    authority, service = issue(tmp_path, "receiver", days=7, ca_days=8, start=start)
    assert read(service).not_valid_before_utc == start - datetime.timedelta(minutes=5)
    assert service.expires == start + datetime.timedelta(days=7) < authority.expires


def test_what_would_not_hold_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="would expire after 3 days, before 30 days are over"):
        issue(tmp_path, "receiver", ca_days=3)
    with pytest.raises(SettingError, match="receiver, receiver: every name once"):
        issue(tmp_path, "receiver", "receiver")
    assert not list(tmp_path.iterdir())
    issue(tmp_path, "receiver", days=3, ca_days=3)
    with pytest.raises(SettingError, match=r"expires on \d{4}-\d\d-\d\d, before 30 days are over"):
        issue(tmp_path, "viewer")
    with pytest.raises(SettingError, match=r"receiver\.crt: exists, and nothing is overwritten"):
        issue(tmp_path, "viewer", "receiver", days=1)
    assert not (tmp_path / "viewer.crt").exists()


def test_an_authority_in_pieces_is_refused(tmp_path: Path) -> None:
    issue(tmp_path / "one", "a")
    issue(tmp_path / "other", "a")
    (tmp_path / "one" / "ca.key").write_bytes((tmp_path / "other" / "ca.key").read_bytes())
    with pytest.raises(SettingError, match=r"ca\.key: does not fit .*ca\.crt"):
        issue(tmp_path / "one", "b")
    (tmp_path / "one" / "ca.key").write_text("no key")
    with pytest.raises(SettingError, match="not the certificate and key of an authority"):
        issue(tmp_path / "one", "b")
    (tmp_path / "one" / "ca.key").unlink()
    with pytest.raises(SettingError, match=r"ca\.crt: is there without ca\.key"):
        issue(tmp_path / "one", "b")
