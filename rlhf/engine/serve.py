"""`python -m rlhf.engine serve DIR`: one model, kept in memory, behind a Unix socket that speaks OpenAI's words.

DIR/serve.json is {"name", "socket", "system_prompt", "decoding"}, DIR/inputs holds base, adapter, head as in a run's
directory. POST /v1/chat/completions (plain and streamed), /score, /features, /cancel; GET /healthz. The socket appears
once the model is loaded. A caller that goes away stops its answer. The process ends with its supervisor's pipe.
"""

from __future__ import annotations

import json
import os
import queue
import select
import signal
import socketserver
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import numpy as np

from rlhf import spec
from rlhf.engine.chat import answer_ids, prompt_ids, with_system
from rlhf.engine.features import Extractor
from rlhf.engine.generate import context_length
from rlhf.engine.heads import Scorer
from rlhf.engine.job import _end_with_supervisor, _prepare_libraries
from rlhf.engine.policies import load_policy, load_tokenizer
from rlhf.engine.resident import Ask, Resident
from rlhf.engine.run_dir import RunDir, UserError
from rlhf.engine.scorers import load_scorer
from rlhf.spec import Decoding

DRAWS = 64  # of a head's posterior, for mean and sd
LARGEST_BODY = 20 * 2**20
LOOK_SECONDS = 0.25  # between two looks whether a silent caller is still there


class Refused(Exception):
    """The caller's words are wrong."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.message, self.status = message, status


class Quiet(RunDir):
    """A directory in which nobody counts steps."""

    def progress(self, *args: Any, **more: Any) -> None:
        return


class Live(Extractor):
    """Features without a cache on disk: what is asked here is asked once."""

    def hidden(self, texts: Any) -> np.ndarray:
        self._load()
        rows = [answer_ids(self._tokenizer, *text) for text in texts]
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        found: list[Any] = [None] * len(rows)
        for start in range(0, len(order), self.batch_size):
            some = order[start : start + self.batch_size]
            for i, vector in zip(some, self._forward([rows[i] for i in some]), strict=True):
                found[i] = vector
        return np.stack(found)


class Engine:
    """What the door can do. `policy` False: a reward model, which answers nothing but /score and /features."""

    def __init__(self, folder: Quiet) -> None:
        about = json.loads((folder.path / "serve.json").read_text())
        self.name, self.system = about["name"], about.get("system_prompt", "")
        self.policy = about.get("policy", True)
        self.decoding = spec.Decoding(**{"max_new_tokens": 256, **(about.get("decoding") or {})})
        self.base = folder.input("base")
        folder.checkpoints.mkdir(exist_ok=True)
        self.tokenizer = load_tokenizer(self.base)
        self.tokenizing = threading.Lock()  # fast tokenizers refuse to be used by two threads at once
        model = load_policy(self.base, folder.optional_input("adapter")) if self.policy else None
        self.scorer = self._load_scorer(folder)
        self.extractor = getattr(self.scorer, "extractor", None) or Live(folder, None, 32, 512)
        self.resident = Resident(model, self.tokenizer)
        self.asks: dict[str, list[Ask]] = {}

    def _load_scorer(self, folder: Quiet) -> Any:
        if folder.optional_input("head") is None:
            return None
        scorer = load_scorer(folder, 32)
        if isinstance(scorer, Scorer):
            about = scorer.head.about
            scorer.extractor = Live(folder, about["layer"], 32, about["max_length"], scorer.extractor.base)
        return scorer

    def score(self, texts: list[Any]) -> list[dict[str, float]]:
        draws = self.scorer.draws(texts, DRAWS)
        pairs = zip(draws.mean(axis=1), draws.std(axis=1), strict=True)
        return [{"mean": round(float(m), 6), "sd": round(float(s), 6)} for m, s in pairs]

    def features(self, texts: list[Any]) -> list[list[float]]:
        rows: list[list[float]] = np.round(self.extractor.hidden(texts).astype(float), 6).tolist()
        return rows

    def prepare(self, body: dict[str, Any]) -> list[Ask]:
        """The answers to draw for a chat request: one, or as many as the policy chooses from."""
        if not self.policy:
            raise Refused(f"{self.name} scores texts; it answers nothing.", 404)
        messages = checked_messages(body.get("messages"))
        decoding = self._decoding(body)
        with self.tokenizing:
            ids = prompt_ids(self.tokenizer, with_system(messages, self.system))
        room = context_length(self.base) - len(ids)
        if room < 1:
            raise Refused(f"The conversation has {len(ids)} tokens; this model reads {context_length(self.base)}.")
        seed = body.get("seed")
        if seed is not None and type(seed) is not int:
            raise Refused("seed: must be a whole number.")
        own = spec.Decoding(decoding.temperature, decoding.top_p, min(room, decoding.max_new_tokens))
        count = decoding.best_of if self.scorer is not None else 1
        return [Ask(ids, own, seed if seed is None else (seed + n) % 2**63) for n in range(count)]

    def _decoding(self, body: dict[str, Any]) -> Decoding:
        if body.get("n") not in (None, 1):
            raise Refused("n: one answer a request.")
        names = {"temperature": "temperature", "top_p": "top_p", "max_tokens": "max_new_tokens",
                 "max_completion_tokens": "max_new_tokens"}  # fmt: skip
        given = {own: body[name] for name, own in names.items() if body.get(name) is not None}
        whole = {"temperature": self.decoding.temperature, "top_p": self.decoding.top_p,
                 "max_new_tokens": self.decoding.max_new_tokens, "best_of": self.decoding.best_of}  # fmt: skip
        try:
            decoding: Decoding = spec.parse_config("generate", {"decoding": whole | given}).decoding
        except spec.SpecError as wrong:
            raise Refused(f"{wrong.field.rpartition('.')[2]}: {wrong.message}") from wrong
        return decoding

    def text_of(self, tokens: list[int]) -> str:
        with self.tokenizing:
            text: str = self.tokenizer.decode(tokens, skip_special_tokens=True)
        return text

    def best(self, messages: Any, answers: list[str]) -> int:
        """Which of several answers the head likes best."""
        scores = self.resident.work(self.score, [(messages, answer) for answer in answers])
        return max(range(len(answers)), key=lambda i: scores[i]["mean"] - scores[i]["sd"])


def checked_messages(messages: Any) -> list[dict[str, str]]:
    good = isinstance(messages, list) and messages
    for i, turn in enumerate(messages if good else ()):
        if not isinstance(turn, dict) or turn.get("role") not in ("system", "user", "assistant"):
            raise Refused(f"messages[{i}].role: must be system, user or assistant.")
        if not isinstance(turn.get("content"), str):
            raise Refused(f"messages[{i}].content: must be text.")
    if not good or messages[-1]["role"] != "user":
        raise Refused("messages: must be a list that ends with a user's turn.")
    return [{"role": turn["role"], "content": turn["content"]} for turn in messages]


def checked_items(body: dict[str, Any]) -> list[tuple[list[dict[str, str]], str]]:
    items = body.get("items")
    if not isinstance(items, list) or len(items) > 1000:
        raise Refused("items: must be a list of at most 1,000.")
    texts = []
    for i, item in enumerate(items):
        if not isinstance(item, dict) or not isinstance(item.get("content"), str):
            raise Refused(f"items[{i}].content: must be text.")
        try:
            texts.append((checked_messages(item.get("messages")), item["content"]))
        except Refused as wrong:
            raise Refused(f"items[{i}].{wrong.message}") from wrong
    return texts


class Door(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    engine: Engine

    def do_GET(self) -> None:
        if self.path != "/healthz":
            return self._error(404, "There is nothing here.")
        resident = self.engine.resident
        idle = 0.0 if resident.active else time.monotonic() - resident.last_used
        self._json(200, {"status": "ok", "name": self.engine.name, "active": resident.active, "idle_seconds": idle})

    def do_POST(self) -> None:
        routes = {"/v1/chat/completions": self._chat, "/score": self._score, "/features": self._features,
                  "/cancel": self._cancel}  # fmt: skip
        try:
            body = self._body()
            routes.get(self.path, self._nothing)(body)
        except Refused as wrong:
            self._error(wrong.status, wrong.message)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the caller left

    def _body(self) -> dict[str, Any]:
        length = int(self.headers.get("Content-Length") or 0)
        if length > LARGEST_BODY:
            raise Refused("The body is too large.", 413)
        try:
            body = json.loads(self.rfile.read(length))
        except ValueError as broken:
            raise Refused(f"The body is not JSON: {broken}.") from broken
        if not isinstance(body, dict):
            raise Refused("Expected one JSON object.")
        return body

    def _nothing(self, body: dict[str, Any]) -> None:
        raise Refused("There is nothing here.", 404)

    def _score(self, body: dict[str, Any]) -> None:
        if self.engine.scorer is None:
            raise Refused(f"{self.engine.name} has no head that scores.", 404)
        texts = checked_items(body)
        self._json(200, {"scores": self.engine.resident.work(self.engine.score, texts) if texts else []})

    def _features(self, body: dict[str, Any]) -> None:
        texts = checked_items(body)
        self._json(200, {"features": self.engine.resident.work(self.engine.features, texts) if texts else []})

    def _cancel(self, body: dict[str, Any]) -> None:
        asks = self.engine.asks.get(str(body.get("id")), [])
        for ask in asks:
            ask.cancelled.set()
        self._json(200, {"cancelled": bool(asks)})

    def _chat(self, body: dict[str, Any]) -> None:
        key = f"chatcmpl-{uuid.uuid4().hex}"
        asks = self.engine.asks[key] = self.engine.prepare(body)
        try:
            for ask in asks:
                self.engine.resident.ask(ask)
            if body.get("stream"):
                self._stream(key, asks, body)
            else:
                self._json(200, self._whole(key, asks, body))
        finally:
            for ask in asks:
                ask.cancelled.set()
            del self.engine.asks[key]

    def _whole(self, key: str, asks: list[Ask], body: dict[str, Any]) -> dict[str, Any]:
        answers = [self.engine.text_of(list(self._tokens(ask))) for ask in asks]
        self._check(asks)
        chosen = self.engine.best(checked_messages(body["messages"]), answers) if len(asks) > 1 else 0
        message = {"role": "assistant", "content": answers[chosen].strip()}
        choice = {"index": 0, "message": message, "finish_reason": asks[chosen].finish}
        return self._head(key, "chat.completion") | {"choices": [choice], "usage": usage(asks)}

    def _stream(self, key: str, asks: list[Ask], body: dict[str, Any]) -> None:
        """Server-sent events. A policy that chooses among several answers sends its choice in one piece."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        self._event(key, {"role": "assistant", "content": ""})
        if len(asks) > 1:
            whole = self._whole(key, asks, body)["choices"][0]
            self._event(key, {"content": whole["message"]["content"]})
            finish = whole["finish_reason"]
        else:
            for piece in self._pieces(asks[0]):
                self._event(key, {"content": piece})
            finish = asks[0].finish
        self._event(key, {}, finish, usage(asks))
        self._send("[DONE]")

    def _pieces(self, ask: Ask) -> Iterator[str]:
        """New text as tokens arrive; half a character waits for its other half."""
        tokens: list[int] = []
        sent = ""
        for token in self._tokens(ask):
            tokens.append(token)
            text = self.engine.text_of(tokens).lstrip()
            if len(text) > len(sent) and not text.endswith("\ufffd"):
                yield text[len(sent) :]
                sent = text
        rest = self.engine.text_of(tokens).lstrip()[len(sent) :]
        if rest:
            yield rest

    def _tokens(self, ask: Ask) -> Iterator[int]:
        """The tokens of an answer; BrokenPipeError once the caller has gone."""
        while True:
            try:
                token = ask.out.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                if self._gone():
                    raise BrokenPipeError from None
                continue
            if token is None:
                return
            yield token

    def _gone(self) -> bool:
        readable, _, _ = select.select([self.connection], [], [], 0)
        return bool(readable) and not self.connection.recv(1, 2)  # 2: MSG_PEEK

    def _check(self, asks: list[Ask]) -> None:
        if any(ask.finish == "error" for ask in asks):
            raise Refused("The model failed on this answer; the log says why.", 500)

    def _head(self, key: str, what: str) -> dict[str, Any]:
        return {"id": key, "object": what, "created": int(time.time()), "model": self.engine.name}

    def _event(self, key: str, delta: dict[str, str], finish: str | None = None, used: Any = None) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        chunk = self._head(key, "chat.completion.chunk") | {"choices": [choice]}
        self._send(json.dumps(chunk | ({"usage": used} if used else {})))

    def _send(self, data: str) -> None:
        self.wfile.write(f"data: {data}\n\n".encode())
        self.wfile.flush()

    def _json(self, status: int, data: Any) -> None:
        content = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _error(self, status: int, message: str) -> None:
        kind = "invalid_request_error" if status < 500 else "server_error"
        self._json(status, {"error": {"message": message, "type": kind, "code": None}})

    def address_string(self) -> str:
        return "local"  # a Unix socket's peer has no address

    def log_message(self, format: str, *args: Any) -> None:
        return


def usage(asks: list[Ask]) -> dict[str, int]:
    read, drawn = len(asks[0].ids), sum(ask.drawn for ask in asks)
    return {"prompt_tokens": read, "completion_tokens": drawn, "total_tokens": read + drawn}


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 128


def main(argv: list[str]) -> int:
    """Serve the model of the directory named until the supervisor goes or SIGTERM comes."""
    if len(argv) != 2 or not Path(argv[1]).is_dir():
        print("usage: python -m rlhf.engine serve DIR   (a directory with serve.json)", file=sys.stderr)
        return spec.EXIT_USER_ERROR
    if os.environ.get("PLUMBLINE_SUPERVISED") == "1":
        threading.Thread(target=_end_with_supervisor, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    folder = Quiet(Path(argv[1]).resolve())
    _prepare_libraries(int(time.time()))
    try:
        engine = Engine(folder)
    except UserError as error:
        folder.write_json("error.json", {"code": error.code, "message": error.message, "field": error.field})
        print(f"{error.code}: {error.message}", file=sys.stderr)
        return spec.EXIT_USER_ERROR
    listen(engine, Path(json.loads((folder.path / "serve.json").read_text())["socket"]))
    engine.resident.run()
    return 0


def listen(engine: Engine, path: Path) -> Server:
    """Open the door at `path`, in one move, for our own user alone."""
    draft = path.with_name(path.name + ".new")
    for old in (draft, path):
        old.unlink(missing_ok=True)
    before = os.umask(0o177)
    server = Server(str(draft), type("OwnDoor", (Door,), {"engine": engine}))
    os.umask(before)
    draft.rename(path)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
