"""TLS certificates and bearer token of a process, loaded from files.

    PANOLINK_TLS_CA       certificates of the trusted authorities, PEM
    PANOLINK_TLS_CERT     certificate of this process with its intermediates, PEM
    PANOLINK_TLS_KEY      its private key, PEM, without a passphrase
    PANOLINK_TOKEN_FILE   the bearer token, one line

A server with certificate and key uses TLS; with an authority as well it accepts only clients whose certificate the
authority has signed (mutual TLS). A client with an authority or a certificate uses TLS.

Files are reloaded when they change, for new connections. Unusable new files are logged, and the previous contents
stay in use.
"""

from __future__ import annotations

import datetime
import hmac
import logging
import os
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

from panolink.errors import SettingError

if TYPE_CHECKING:
    import ssl

    from cryptography.x509 import Certificate

CA, CERT, KEY, TOKEN_FILE = "PANOLINK_TLS_CA", "PANOLINK_TLS_CERT", "PANOLINK_TLS_KEY", "PANOLINK_TOKEN_FILE"
INSECURE = "PANOLINK_INSECURE"

_MAX_FILE_BYTES = 4 << 20  # all authorities of a system are about 200 KB
_TOKEN = re.compile(
    r"[\x21-\x7e]{16,4096}"
)  # printable ASCII, as HTTP/2 metadata carries it; 16 characters resist brute force

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Material:
    """Contents of the files."""

    authorities: bytes | None = None
    chain: bytes | None = None
    key: bytes | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    expires: datetime.datetime | None = None
    """Expiry of the certificate of this process."""


class Credentials:
    """TLS files and a token file; without any of them, connections are in the clear.

    Parameters
    ----------
    ca
        File with the certificates of the trusted authorities.
    cert, key
        Certificate of this process and its private key; both or neither.
    token_file
        File with the bearer token.

    Raises
    ------
    SettingError
        An unreadable or invalid file, a key that does not match, or an expired certificate; names the environment
        variable.
    """

    def __init__(
        self,
        *,
        ca: str | Path | None = None,
        cert: str | Path | None = None,
        key: str | Path | None = None,
        token_file: str | Path | None = None,
    ) -> None:
        for name, value, other in ((CERT, cert, KEY), (KEY, key, CERT)):
            if value and not (cert and key):
                raise SettingError(f"{name}={value}: needs {other} as well, a certificate is of no use without its key")
        given = {CA: ca, CERT: cert, KEY: key, TOKEN_FILE: token_file}
        self._files = {name: Path(file) for name, file in given.items() if file}
        self._lock = threading.Lock()
        self._stamp = self._stamped()
        self._material = self._read()

    @classmethod
    def from_environment(cls) -> Credentials:
        """Load the files named by the four variables; an empty variable counts as unset."""
        value = os.environ.get
        return cls(ca=value(CA), cert=value(CERT), key=value(KEY), token_file=value(TOKEN_FILE))

    @property
    def secure_server(self) -> bool:
        """Whether a server uses TLS with them."""
        return CERT in self._files

    @property
    def secure_client(self) -> bool:
        """Whether a client uses TLS with them."""
        return CA in self._files or CERT in self._files

    @property
    def material(self) -> Material:
        """Current contents of the files; the same object until they change."""
        with self._lock:
            stamp = self._stamped()
            if stamp != self._stamp:
                self._stamp = stamp
                try:
                    self._material = self._read()
                    log.info("read again: %s", ", ".join(map(str, self._files.values())))
                except SettingError as error:  # perhaps only one of two files has been replaced so far
                    log.error("%s; what was read before stays in use", error)
            return self._material

    def check_server(self, setting: str, address: str, *, insecure: bool) -> None:
        """Check that a server may listen on an address.

        Parameters
        ----------
        setting
            Name of the setting of the address, for messages.
        insecure
            Whether plaintext connections from other hosts are permitted.

        Raises
        ------
        SettingError
            Other hosts could connect in the clear without `insecure`, or there is an authority but no certificate.
        """
        if self.secure_server:
            return
        if CA in self._files:
            raise SettingError(f"{CA}={self._files[CA]}: a service needs {CERT} and {KEY} as well")
        if not (insecure or is_loopback(address)):
            raise SettingError(
                f"{setting}={address}: other hosts would reach it in the clear; set {CERT} and {KEY}, listen on "
                f"127.0.0.1, or, inside a network that you trust, say --insecure ({INSECURE}=1)"
            )

    def server(self) -> grpc.ServerCredentials | None:
        """Server credentials that are reloaded with the files; None: listen in the clear."""
        if not self.secure_server:
            return None
        latest = self.material

        def renewed() -> Any:
            """Called before every handshake; None keeps the current configuration."""
            nonlocal latest
            before, latest = latest, self.material
            return None if latest is before else _server_configuration(latest)

        return grpc.dynamic_ssl_server_credentials(
            _server_configuration(latest), renewed, require_client_authentication=CA in self._files
        )

    def load_into(self, context: ssl.SSLContext) -> None:
        """Load certificate and key into the context of a server that is not gRPC's."""
        context.load_cert_chain(self._files[CERT], self._files[KEY])

    def client(self, target: str) -> Callable[[], grpc.ChannelCredentials] | None:
        """Factory of client credentials from the files' contents at call time; None: connect in the clear.

        Raises
        ------
        SettingError
            A token would be sent in the clear to another host.
        """
        if TOKEN_FILE in self._files and not self.secure_client and not is_loopback(target):
            raise SettingError(
                f"{TOKEN_FILE}={self._files[TOKEN_FILE]}: not sent to {target} in the clear; set {CA}, or leave it out"
            )
        return self._client if self.secure_client or TOKEN_FILE in self._files else None

    def _client(self) -> grpc.ChannelCredentials:
        material = self.material
        if self.secure_client:
            credentials = grpc.ssl_channel_credentials(material.authorities, material.key, material.chain)
        else:  # in the clear; gRPC enforces that the peer is on this machine
            credentials = grpc.local_channel_credentials()
        if material.token is None:
            return credentials
        return grpc.composite_channel_credentials(credentials, grpc.access_token_call_credentials(material.token))

    def _stamped(self) -> tuple[tuple[int, int, int] | None, ...]:
        return tuple(map(_stamp, self._files.values()))

    def _read(self) -> Material:
        content = {name: _content(name, file) for name, file in self._files.items()}
        named = {name: f"{name}={file}" for name, file in self._files.items()}
        if CA in content:
            _check_authorities(named[CA], content[CA])
        expires = _check_pair(named[CERT], content[CERT], named[KEY], content[KEY]) if CERT in content else None
        token = _token(named[TOKEN_FILE], content[TOKEN_FILE]) if TOKEN_FILE in content else None
        return Material(content.get(CA), content.get(CERT), content.get(KEY), token, expires)


def same_token(given: str, wanted: str) -> bool:
    """Compare two tokens in constant time."""
    return hmac.compare_digest(given.encode(), wanted.encode())


def is_loopback(target: str) -> bool:
    """Whether `host:port` (with or without `dns:///`) is a loopback address."""
    host = host_of(target)
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def host_of(target: str) -> str:
    """Host of `host:port`, `[v6]:port` or `dns:///host:port`."""
    return target.removeprefix("dns:///").rpartition(":")[0].strip("[]")


def _server_configuration(material: Material) -> grpc.ServerCertificateConfiguration:
    assert material.key and material.chain
    return grpc.ssl_server_certificate_configuration([(material.key, material.chain)], material.authorities)


def _stamp(file: Path) -> tuple[int, int, int] | None:
    """Modification stamp: changes with the file, or with the target of a symbolic link."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


def _content(name: str, file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            content = opened.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise SettingError(f"{name}={file}: {(error.strerror or str(error)).lower()}") from None
    if len(content) > _MAX_FILE_BYTES:
        raise SettingError(f"{name}={file}: more than {_MAX_FILE_BYTES} bytes")
    return content


def _certificates(named: str, content: bytes) -> list[Certificate]:
    from cryptography import x509

    try:
        found = x509.load_pem_x509_certificates(content)
        for certificate in found:  # dates are parsed when they are asked for
            _ = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        return found
    except (ValueError, x509.InvalidVersion):
        raise SettingError(f"{named}: not a certificate in PEM format") from None


def _check_authorities(named: str, content: bytes) -> None:
    """Check that not all authorities of a file have expired."""
    last = max(certificate.not_valid_after_utc for certificate in _certificates(named, content))
    if last <= _now():
        raise SettingError(f"{named}: expired on {_day(last)}")


def _check_pair(named: str, content: bytes, named_key: str, key_content: bytes) -> datetime.datetime:
    """Check that the certificate is valid and matches the key; returns its expiry."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    certificate, *_ = _certificates(named, content)
    if certificate.not_valid_after_utc <= _now():
        raise SettingError(f"{named}: expired on {_day(certificate.not_valid_after_utc)}")
    if certificate.not_valid_before_utc > _now():
        raise SettingError(f"{named}: not valid before {_day(certificate.not_valid_before_utc)}")
    try:
        key = load_pem_private_key(key_content, password=None)
    except TypeError:
        raise SettingError(f"{named_key}: needs a passphrase; allowed is a key without one") from None
    except (ValueError, UnsupportedAlgorithm):
        raise SettingError(f"{named_key}: not a private key in PEM format") from None
    try:
        fits = key.public_key() == certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise SettingError(f"{named}: its public key is none") from None
    if not fits:
        raise SettingError(f"{named_key}: does not fit the certificate in {named}")
    return certificate.not_valid_after_utc


def _token(named: str, content: bytes) -> str:
    token = content.decode("latin-1").strip()
    if not _TOKEN.fullmatch(token):  # the message does not reveal the contents
        raise SettingError(f"{named}: allowed is one line of 16 to 4096 ASCII characters without blanks")
    return token


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _day(time: datetime.datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"
