"""Which addresses the server may talk to on somebody else's word."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from api import outgoing


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:93.184.216.34"])
def test_public_addresses_are_global(address: str) -> None:
    assert outgoing.is_global(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1",
        "224.0.0.1", "::1", "fe80::1%eth0", "fc00::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "ff02::1",
        "2002:7f00:0001::", "64:ff9b:1::1",
    ],
)  # fmt: skip
def test_addresses_of_private_networks_are_not(address: str) -> None:
    assert not outgoing.is_global(address)


def resolver(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Resolves every name to the next of the answers (the last one again and again); returns the names asked for."""
    asked: list[str] = []

    def getaddrinfo(host: str, port: Any, *_: Any, **__: Any) -> list[Any]:
        found = answers[min(len(asked), len(answers) - 1)]
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(outgoing.socket, "getaddrinfo", getaddrinfo)
    return asked


def test_one_private_answer_among_public_ones_refuses_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver(monkeypatch, ["93.184.216.34", "10.0.0.7"])
    with pytest.raises(outgoing.Refused, match="not a public address"):
        outgoing.check("https://example.com/hook")


def test_a_name_that_turns_private_after_it_was_checked_is_not_talked_to(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver(monkeypatch, ["93.184.216.34"], ["127.0.0.1"])
    outgoing.check("http://rebind.example/")
    with pytest.raises(outgoing.Refused, match="not a public address"):
        outgoing.post("http://rebind.example/", b"{}", {})


@pytest.mark.parametrize("url", ["ftp://example.com/", "http:///nohost", "https://user:word@example.com/", "nonsense"])
def test_other_kinds_of_address_are_refused(url: str) -> None:
    with pytest.raises(outgoing.Refused):
        outgoing.check(url)


class Receiver(BaseHTTPRequestHandler):
    seen: list[tuple[str, dict[str, str], bytes]] = []
    status, headers_out, answer = 200, {}, b"ok"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append((self.path, dict(self.headers), body))
        self.send_response(self.status)
        for name, value in self.headers_out.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(self.answer)))
        self.end_headers()
        self.wfile.write(self.answer)

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def receiver(settings: Any) -> Iterator[Any]:
    """A server on this machine, with private addresses allowed; its class takes the status to answer with."""
    settings.PLUMBLINE_WEBHOOKS_PRIVATE = True
    kind = type("Fresh", (Receiver,), {"seen": []})
    server = HTTPServer(("127.0.0.1", 0), kind)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    kind.url = f"http://127.0.0.1:{server.server_port}/hook"
    yield kind
    server.shutdown()
    server.server_close()


def test_the_host_header_keeps_the_name_that_was_given(monkeypatch: pytest.MonkeyPatch, receiver: Any) -> None:
    resolver(monkeypatch, ["127.0.0.1"])
    url = receiver.url.replace("127.0.0.1", "hooks.example")
    assert outgoing.post(url, b"{}", {"Content-Type": "application/json"}) == 200
    (_, headers, _), *_ = receiver.seen
    assert headers["Host"].startswith("hooks.example:")


def test_a_redirect_is_an_answer_and_is_not_followed(receiver: Any) -> None:
    receiver.status, receiver.headers_out = 302, {"Location": receiver.url}
    assert outgoing.post(receiver.url, b"{}", {}) == 302
    assert len(receiver.seen) == 1


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch, receiver: Any) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert outgoing.post(receiver.url, b"{}", {}) == 200


def test_a_long_answer_is_not_read_to_its_end(receiver: Any) -> None:
    receiver.answer = b"x" * (10 * outgoing.MOST_BYTES)
    assert outgoing.post(receiver.url, b"{}", {}) == 200


def test_nobody_there_is_said_plainly(settings: Any) -> None:
    settings.PLUMBLINE_WEBHOOKS_PRIVATE = True
    with pytest.raises(outgoing.Refused, match="refused"):
        outgoing.post("http://127.0.0.1:9/", b"{}", {})
