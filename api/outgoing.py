"""One POST to an address that somebody else chose: the address is resolved once, checked, and connected to as resolved.

Without this a webhook would be a way to make the server talk to its own network. No redirects, no proxies from the
environment, five seconds, 64 kB of answer.
"""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Iterable
from urllib.parse import urlsplit

import httpcore
from django.conf import settings
from httpcore import SOCKET_OPTION

SECONDS = 5.0
MOST_BYTES = 64 * 1024
TRANSLATED = [ipaddress.ip_network(net) for net in ("64:ff9b::/96", "64:ff9b:1::/48")]  # IPv4 behind a translator


class Refused(Exception):
    """The address may not be talked to, or did not answer as it should; the message says which."""


def post(url: str, body: bytes, headers: dict[str, str]) -> int:
    """The HTTP status of the answer. Raises Refused for everything short of an answer."""
    deadline = time.monotonic() + SECONDS
    timeout = dict.fromkeys(("connect", "read", "write", "pool"), SECONDS)
    try:
        with httpcore.ConnectionPool(network_backend=Guarded(), retries=0) as pool:
            with pool.stream(
                "POST", url, headers=list(headers.items()), content=body, extensions={"timeout": timeout}
            ) as answer:
                _drain(answer.iter_stream(), deadline)
                return int(answer.status)
    except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, OSError) as broken:
        raise Refused(str(broken) or type(broken).__name__) from broken


def _drain(chunks: Iterable[bytes], deadline: float) -> None:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > MOST_BYTES or time.monotonic() > deadline:
            return  # the status is what we wanted


def check(url: str) -> None:
    """Refused unless the address is http(s), names a host, and every answer of the resolver may be talked to."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Refused("the address must begin with http:// or https:// and name a host")
    if parts.username or parts.password:
        raise Refused("the address must not carry a password")
    addresses_of(parts.hostname, parts.port or (443 if parts.scheme == "https" else 80))


def addresses_of(host: str, port: int) -> list[str]:
    """The addresses of a host. Refused when it has none, or one that is not global (unless the settings allow it)."""
    try:
        found = {str(row[4][0]) for row in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError) as unknown:
        raise Refused(f"{host} cannot be resolved") from unknown
    private = sorted(address for address in found if not is_global(address))
    if private and not settings.PLUMBLINE_WEBHOOKS_PRIVATE:
        raise Refused(f"{host} is not a public address (PLUMBLINE_WEBHOOKS_PRIVATE=1 allows private ones)")
    return sorted(found)


def is_global(address: str) -> bool:
    """Whether an address is on the public internet; an IPv4 address inside an IPv6 one is looked at as what it is."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return ip.ipv4_mapped.is_global
        if ip.sixtofour or ip.teredo or any(ip in net for net in TRANSLATED):
            return False  # tunnels to IPv4 addresses that nobody needs for a webhook
    return ip.is_global and not ip.is_multicast


class Guarded(httpcore.SyncBackend):
    """Connects to the address that was checked, not to a name that may resolve to another one meanwhile.

    Host header and SNI keep the name: they come from the URL, not from here.
    """

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        return super().connect_tcp(addresses_of(host, port)[0], port, timeout, local_address, socket_options)
