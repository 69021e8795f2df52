"""Keeping models in memory on this machine: what rows want is started, watched, and stopped when nobody asks for it.

One keeper a machine (`bin/manage serve_engines`, a child of `bin/up`). It writes a row only as its owner and attempt,
so a keeper that was thought dead changes nothing; its engines end with its pipes.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import F
from django.utils import timezone

from feedback.errors import PlumblineError, StaleTransition, Unavailable
from feedback.lifecycle import advance

from . import artifacts, bases, run_kinds, serving, supervising
from .models import EngineServer, Policy

log = logging.getLogger(__name__)
BEAT_SECONDS = 5.0
LOADING_SECONDS = 900.0
DEAF_SECONDS = 120.0  # without an answer from its door an engine is no longer alive
LONGEST_SOCKET = 100


@dataclass
class Kept:
    """One engine of ours."""

    server: EngineServer
    child: subprocess.Popen[bytes]
    folder: Path
    since: float  # on the clock of time.monotonic
    beaten: float = 0.0
    heard: float = 0.0


class Keeper:
    """Everything that one process keeps. `turn` does what is due and returns at once."""

    def __init__(self) -> None:
        self.owner = f"{socket.gethostname()}:{os.getpid()}"
        self.kept: dict[int, Kept] = {}
        self.not_before: dict[int, float] = {}
        self.home = Path(settings.PLUMBLINE_HOME) / "run" / "engines"
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True)
        self.sockets = self.home if len(os.fsencode(self.home)) < LONGEST_SOCKET - 20 else Path(tempfile.mkdtemp())

    def turn(self) -> None:
        for kept in list(self.kept.values()):
            self._look_after(kept)
        self._take_back_lost()
        for server in EngineServer.objects.filter(status="wanted").order_by("wanted_at"):
            if time.monotonic() >= self.not_before.get(server.pk, 0.0):
                self._start(server)

    def stop(self) -> None:
        """End every engine; their rows sleep until somebody asks again."""
        for kept in list(self.kept.values()):
            self._end(kept, "wanted" if kept.server.status == "starting" else "idle")

    def _take_back_lost(self) -> None:
        """Rows whose keeper died: what is still being asked for is wanted again, the rest sleeps."""
        late = timezone.now() - serving.FRESH
        for server in EngineServer.objects.filter(status__in=("starting", "ready"), heartbeat_at__lt=late):
            if server.pk in self.kept:
                continue
            recent = timezone.now() - server.wanted_at < serving.FRESH * 3
            self._move(server, "wanted" if recent or server.status == "starting" else "idle")

    def _move(self, server: EngineServer, to: str, **columns: Any) -> bool:
        try:
            advance(server, to, **columns)
        except StaleTransition:
            return False
        return True

    # --- starting --------------------------------------------------------------------------------------

    def _start(self, server: EngineServer) -> None:
        self.not_before[server.pk] = time.monotonic() + BEAT_SECONDS
        note = supervising.engine_missing() or self._make_room()
        if note:
            EngineServer.objects.filter(pk=server.pk, status="wanted").update(note=note[:500])
            return
        claim = {"owner": self.owner, "attempt": F("attempt") + 1, "heartbeat_at": timezone.now(), "note": ""}
        if not self._move(server, "starting", **claim):
            return
        server = EngineServer.objects.select_related("policy", "reward_model").get(pk=server.pk)
        try:
            self._launch(server)
        except Unavailable as wait:
            self._move(server, "wanted", note=wait.message[:500])
        except (PlumblineError, OSError) as wrong:
            self._move(server, "failed", note=str(wrong)[:500])

    def _make_room(self) -> str:
        """Why there is no room for one more ("" when there is): the one longest unused gives way if it rests."""
        if len(self.kept) < settings.PLUMBLINE_ENGINES_PER_MACHINE:
            return ""
        resting = [
            kept for kept in self.kept.values() if kept.server.status == "ready" and self._idle(kept) > BEAT_SECONDS
        ]
        if not resting:
            return "waiting for another model to rest"
        self._end(max(resting, key=self._idle), "idle")
        return ""

    def _launch(self, server: EngineServer) -> None:
        folder = self.home / f"{server.pk}-{server.attempt}"
        path = self.sockets / f"{server.pk}-{server.attempt}.sock"
        lay_out(server, folder, path)
        environment = {**os.environ, "PLUMBLINE_SUPERVISED": "1", "HF_HUB_OFFLINE": "1"}
        with (folder / "log.txt").open("ab") as output:
            child = subprocess.Popen(
                [sys.executable, "-m", "rlhf.engine", "serve", str(folder)], stdin=subprocess.PIPE, stdout=output,
                stderr=subprocess.STDOUT, cwd=settings.BASE_DIR, env=environment, start_new_session=True,
            )  # fmt: skip
        server.socket = str(path)
        self.kept[server.pk] = Kept(server, child, folder, since=time.monotonic(), heard=time.monotonic())

    # --- watching --------------------------------------------------------------------------------------

    def _look_after(self, kept: Kept) -> None:
        now = time.monotonic()
        if kept.child.poll() is not None:
            self._died(kept)
        elif kept.server.status == "starting" and Path(kept.server.socket).exists():
            self._opened(kept)
        elif kept.server.status == "starting" and now - kept.since > LOADING_SECONDS:
            self._end(kept, "failed", f"it was not loaded after {LOADING_SECONDS / 60:.0f} minutes")
        elif now - kept.beaten > BEAT_SECONDS:
            self._beat(kept, now)

    def _opened(self, kept: Kept) -> None:
        fresh = {"socket": kept.server.socket, "heartbeat_at": timezone.now(), "note": ""}
        if not self._move(kept.server, "ready", **fresh):
            self._end(kept, None)

    def _beat(self, kept: Kept, now: float) -> None:
        kept.beaten = now
        mine = EngineServer.objects.filter(
            pk=kept.server.pk, status=kept.server.status, owner=self.owner, attempt=kept.server.attempt
        )
        if not mine.update(heartbeat_at=timezone.now()):
            self._end(kept, None)  # somebody else has the row, or it was deleted
        elif kept.server.status == "ready":
            idle = self._idle(kept)
            if now - kept.heard > DEAF_SECONDS:
                self._end(kept, "wanted", "its engine no longer answered")
            elif idle > settings.PLUMBLINE_ENGINE_IDLE_SECONDS:
                self._end(kept, "idle")

    def _idle(self, kept: Kept) -> float:
        """Seconds since anybody used the model: its own word, and when its row was last asked for."""
        wanted_at = EngineServer.objects.filter(pk=kept.server.pk).values_list("wanted_at", flat=True).first()
        asked = (timezone.now() - wanted_at).total_seconds() if wanted_at else 0.0
        try:
            with serving.Client.of_socket(kept.server.socket, kept.server.name) as client:
                health = client.health()
        except Unavailable:
            return 0.0
        kept.heard = time.monotonic()
        return min(asked, float(health["idle_seconds"]))

    def _died(self, kept: Kept) -> None:
        loading = kept.server.status == "starting"
        words = last_words(kept.folder) or f"its engine ended with code {kept.child.returncode}"
        self._end(kept, "failed" if loading else "wanted", words)

    def _end(self, kept: Kept, to: str | None, note: str = "") -> None:
        """Stop the process, then say so in the row, if it is still ours to write."""
        self.kept.pop(kept.server.pk, None)
        if to is not None:
            self._move(kept.server, to, note=note[:500])
        for sign in (signal.SIGTERM, signal.SIGKILL):
            if kept.child.poll() is None:
                os.killpg(kept.child.pid, sign)
                try:
                    kept.child.wait(5)
                except subprocess.TimeoutExpired:
                    continue
        assert kept.child.stdin is not None
        kept.child.stdin.close()
        Path(kept.server.socket).unlink(missing_ok=True)
        if to != "failed":
            shutil.rmtree(kept.folder, ignore_errors=True)


def lay_out(server: EngineServer, folder: Path, path: Path) -> None:
    """serve.json and inputs/, as the resident engine expects them. Unavailable while the base is being made."""
    inputs = folder / "inputs"
    shutil.rmtree(folder, ignore_errors=True)
    inputs.mkdir(parents=True)
    about: dict[str, Any] = {"name": server.name, "socket": str(path), "policy": server.policy is not None}
    if server.policy is not None:
        run_kinds.lay_out_policy(server.policy, inputs)
        about |= _decoding(server.policy)
    elif server.reward_model is not None:
        run_kinds.link(inputs, "base", bases.path_of(server.reward_model.base))
        run_kinds.link(inputs, "head", artifacts.path_of(server.reward_model.artifact))
    (folder / "serve.json").write_text(json.dumps(about))


def _decoding(policy: Policy) -> dict[str, Any]:
    return {"system_prompt": policy.system_prompt, "decoding": policy.decoding}


def last_words(folder: Path) -> str:
    """Why an engine ended: what it says itself, else the last line of its log."""
    try:
        return str(json.loads((folder / "error.json").read_text())["message"])
    except (OSError, ValueError, KeyError):
        pass
    try:
        lines = (folder / "log.txt").read_text(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1][:400] if lines else ""
