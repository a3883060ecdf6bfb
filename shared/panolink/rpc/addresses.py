"""Addresses of services: a host and a port."""

import re

ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^:\s\[\]/]+):(?P<port>[0-9]{1,5})")


def split_address(address: str) -> tuple[str, int]:
    """Split `host:port` or `[v6]:port`; raises `ValueError` if it is neither."""
    match = ADDRESS.fullmatch(address)
    if not match or int(match["port"]) > 65535:
        raise ValueError("allowed is host:port, such as 127.0.0.1:50051, with a port up to 65535")
    host = match["host"].strip("[]")
    try:
        host.encode("idna")  # as name resolution does
    except UnicodeError:
        raise ValueError("no name of a host: allowed are parts of 1 to 63 letters, digits and - with dots") from None
    return host, int(match["port"])
