"""A certificate authority for development and small deployments.

Larger deployments have one already (cert-manager, Vault, a company's own). Services require no more of a certificate
than what is issued here: their names as subject alternative names, for server and client authentication.
"""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from panolink.errors import SettingError

CA_NAME = "ca"
EVERYWHERE = ("localhost", "127.0.0.1", "::1")
"""Names in every certificate, as a service is also reached from its own host."""

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
_HOST = re.compile(
    r"(\*\.)?([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
)
_CLOCKS = datetime.timedelta(minutes=5)  # tolerated clock skew between hosts


@dataclass(frozen=True)
class Subject:
    """Subject of a certificate: the name of its files, and its alternative names and addresses."""

    name: str
    hosts: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Subject:
        """Parse `NAME` or `NAME=HOST,HOST…`.

        Raises
        ------
        SettingError
            Not a valid file or host name.
        """
        name, _, more = text.partition("=")
        if not _NAME.fullmatch(name) or name == CA_NAME:
            raise SettingError(f"{text}: allowed is NAME or NAME=HOST,HOST, such as receiver=receiver.example,10.0.0.7")
        hosts = [host.strip() for host in more.split(",") if host.strip()]
        for host in hosts:
            if not (_is_address(host) or _HOST.fullmatch(host)):
                raise SettingError(f"{text}: {host!r} is neither a host name nor an IP address")
        return cls(name, tuple(dict.fromkeys((*([name] if _is_host(name) else []), *hosts, *EVERYWHERE))))


@dataclass(frozen=True)
class IssuedCertificate:
    """An issued certificate and its key, as files."""

    name: str
    hosts: tuple[str, ...]
    cert: Path
    key: Path
    expires: datetime.datetime


def issue_certificates(
    folder: Path, subjects: Sequence[Subject], *, days: int, ca_days: int, start: datetime.datetime | None = None
) -> list[IssuedCertificate]:
    """Create an authority in a folder, unless it has one, and issue a certificate for each subject.

    Nothing is overwritten; keys are readable by their owner alone (mode 0600).

    Parameters
    ----------
    folder
        Where the files go.
    subjects
        Whom to issue certificates for.
    days, ca_days
        Validity of the certificates and of a new authority in days.
    start
        Start of validity; None: now.

    Returns
    -------
    list of IssuedCertificate
        What was created, a new authority first.

    Raises
    ------
    SettingError
        A file exists already, or the authority is unusable or expires before the certificates.
    """
    ca_cert, ca_key = _files(folder, CA_NAME)
    names = [subject.name for subject in subjects]
    wanted = [file for name in names for file in _files(folder, name)]
    if ca_cert.exists() != ca_key.exists():
        there, missing = (ca_cert, ca_key) if ca_cert.exists() else (ca_key, ca_cert)
        raise SettingError(f"{there}: is there without {missing.name}; put it back, or take another folder")
    if taken := next((file for file in wanted if file.exists()), None):
        raise SettingError(f"{taken}: exists, and nothing is overwritten; remove it, or take another folder with --out")
    if len(set(names)) < len(names):
        raise SettingError(f"{', '.join(names)}: every name once")
    if not ca_cert.exists() and days > ca_days:
        raise SettingError(f"{ca_cert}: would expire after {ca_days} days, before {days} days are over")
    start = (start or datetime.datetime.now(datetime.UTC)).replace(microsecond=0)  # as certificates have it
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    if not ca_cert.exists():
        made.append(_make_authority(folder, start, ca_days))
    authority, key = _read_authority(ca_cert, ca_key)
    if start + datetime.timedelta(days=days) > authority.not_valid_after_utc:
        raise SettingError(
            f"{ca_cert}: expires on {authority.not_valid_after_utc:%Y-%m-%d}, before {days} days are over"
        )
    made += [_make_certificate(folder, subject, start, days, authority, key) for subject in subjects]
    return made


def _make_authority(folder: Path, start: datetime.datetime, days: int) -> IssuedCertificate:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Panolink {folder.resolve().name}"[:64])])
    builder = (
        _builder(name, name, key, start, days)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return _write(folder, Subject(CA_NAME, ()), builder.sign(key, hashes.SHA256()), key)


def _make_certificate(
    folder: Path,
    subject: Subject,
    start: datetime.datetime,
    days: int,
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
) -> IssuedCertificate:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject.name)])
    both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]  # a hop is both
    builder = (
        _builder(name, authority.subject, key, start, days)
        .add_extension(x509.SubjectAlternativeName(list(_alternatives(subject.hosts))), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(both), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
    )
    return _write(folder, subject, builder.sign(authority_key, hashes.SHA256()), key)


def _builder(
    name: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, start: datetime.datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start - _CLOCKS)
        .not_valid_after(start + datetime.timedelta(days=days))
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _alternatives(hosts: Iterable[str]) -> Iterable[x509.GeneralName]:
    for host in hosts:
        yield x509.IPAddress(ip_address(host)) if _is_address(host) else x509.DNSName(host)


def _write(
    folder: Path, subject: Subject, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
) -> IssuedCertificate:
    cert_file, key_file = _files(folder, subject.name)
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    _write_new(key_file, secret, mode=0o600)
    _write_new(cert_file, certificate.public_bytes(pem), mode=0o644)
    return IssuedCertificate(subject.name, subject.hosts, cert_file, key_file, certificate.not_valid_after_utc)


def _write_new(file: Path, content: bytes, *, mode: int) -> None:
    """Create a file that must not exist, with its mode from the start."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(content)


def _read_authority(cert: Path, key: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    try:
        certificate = x509.load_pem_x509_certificate(cert.read_bytes())
        private = serialization.load_pem_private_key(key.read_bytes(), password=None)
    except (ValueError, TypeError):
        raise SettingError(f"{cert}, {key}: not the certificate and key of an authority") from None
    if not isinstance(private, ec.EllipticCurvePrivateKey) or private.public_key() != certificate.public_key():
        raise SettingError(f"{key}: does not fit {cert}")
    return certificate, private


def _files(folder: Path, name: str) -> tuple[Path, Path]:
    return folder / f"{name}.crt", folder / f"{name}.key"


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _is_host(name: str) -> bool:
    return _is_address(name) or _HOST.fullmatch(name) is not None
