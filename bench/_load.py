"""Annotators that cost next to nothing: one process, one selector loop, hand-written HTTP over kept connections.

    python -m bench._load HOST PORT SLUG SECONDS THINK_MS TOKEN...      a JSON tally on standard output

The load generator shares the machine with the server that it measures, so it parses no more of an answer than
its length, its status and the two ids in it. Each annotator waits THINK_MS (0: not at all) before each judgment.
"""

from __future__ import annotations

import heapq
import json
import selectors
import socket
import sys
import time
import uuid

CHOICES = ("A", "B", "tie", "both_bad")


class Annotator:
    """One person: a connection, what was asked last, and what came of it."""

    def __init__(self, number: int, host: str, port: int, slug: str, token: str) -> None:
        self.number, self.slug, self.rounds, self.buffer = number, slug, 0, b""
        lines = [f"Host: {host}:{port}", f"Authorization: Bearer {token}", "Content-Type: application/json"]
        self.head = "HTTP/1.1\r\n" + "".join(f"{line}\r\n" for line in lines)
        self.socket = socket.create_connection((host, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.asked, self.started, self.lease = "", 0.0, ""

    def claim(self) -> None:
        self._post(f"/api/v1/queues/{self.slug}/claim/", b"{}", "claim")

    def judge(self) -> None:
        self.rounds += 1
        choice = CHOICES[(self.rounds + self.number) % 4]
        body = b'{"choice": "%s", "duration_ms": 2500}' % choice.encode()
        self._post(f"/api/v1/assignments/{self.lease}/judgment/", body, "judge", uuid.uuid4().hex)

    def _post(self, path: str, body: bytes, what: str, key: str = "") -> None:
        self.asked = what
        extra = f"Idempotency-Key: {key}\r\n" if key else ""
        head = f"POST {path} {self.head}{extra}Content-Length: {len(body)}\r\n\r\n"
        self.started = time.perf_counter()
        self.socket.sendall(head.encode() + body)

    def read(self) -> tuple[int, bytes] | None:
        """(status, body) of the answer once it is whole."""
        part = self.socket.recv(65536)
        if not part:
            raise ConnectionError("the server closed the connection")
        self.buffer += part
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = self.buffer[:end].lower()
        at = head.find(b"content-length:")
        length = int(head[at + 15 : head.find(b"\r\n", at) if b"\r\n" in head[at:] else None]) if at >= 0 else 0
        if len(self.buffer) < end + 4 + length:
            return None
        body, self.buffer = self.buffer[end + 4 : end + 4 + length], self.buffer[end + 4 + length :]
        return int(head[9:12]), body


def lease_in(body: bytes) -> str:
    at = body.find(b'"assignment":"')
    return body[at + 14 : at + 50].decode() if at >= 0 else ""


def main(host: str, port: int, slug: str, seconds: float, think: float, tokens: list[str]) -> dict[str, object]:
    people = [Annotator(n, host, port, slug, token) for n, token in enumerate(tokens)]
    ready, chooser = [], selectors.DefaultSelector()
    judge_ms: list[float] = []
    claim_ms: list[float] = []
    errors: list[str] = []
    started = time.perf_counter()
    end = started + seconds
    for person in people:
        chooser.register(person.socket, selectors.EVENT_READ, person)
        # with thinking time people do not begin in step
        heapq.heappush(ready, (started + think * person.number / len(people), person.number))
    busy = 0
    while True:
        now = time.perf_counter()
        if now >= end and not busy:
            break
        while ready and ready[0][0] <= now and now < end:
            person = people[heapq.heappop(ready)[1]]
            person.judge() if person.lease else person.claim()
            busy += 1
        wait = (ready[0][0] if ready and now < end else end) - now
        for key, _ in chooser.select(max(0.0, min(wait, 0.05))):
            person = key.data
            answer = person.read()
            if answer is None:
                continue
            busy -= 1
            took = 1000 * (time.perf_counter() - person.started)
            (judge_ms if person.asked == "judge" else claim_ms).append(took)
            if answer[0] not in (200, 201):
                errors.append(f"{person.asked} {answer[0]} {answer[1][:200]!r}")
            person.lease = lease_in(answer[1]) if answer[0] in (200, 201) else ""
            heapq.heappush(ready, (time.perf_counter() + think, person.number))
    judged = len(judge_ms) - sum(e.startswith("judge") for e in errors)
    return {
        "judgments": judged,
        "seconds": time.perf_counter() - started,
        "judge_ms": judge_ms,
        "claim_ms": claim_ms,
        "errors": errors,
        "client_cpu_s": time.process_time(),
    }


if __name__ == "__main__":
    print(
        json.dumps(
            main(
                sys.argv[1], int(sys.argv[2]), sys.argv[3], float(sys.argv[4]), float(sys.argv[5]) / 1000, sys.argv[6:]
            )
        )
    )
