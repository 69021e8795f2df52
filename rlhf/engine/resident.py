"""The model's own thread: answers asked for together are drawn together, and scores wait at most one token.

Only this thread touches the model. Each turn draws one token for every batch in flight, so that a question which
arrives later starts at once instead of waiting for the end of an earlier answer.
"""

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import torch

from rlhf.engine.decode import _Batch, pick, stop_tokens
from rlhf.spec import Decoding

GATHER_SECONDS = 0.01  # that the first question of a batch waits for others
ROWS = 64  # answers in flight; more wait
_number = itertools.count(1)


@dataclass(eq=False)
class Ask:
    """One answer to draw. Tokens arrive in `out`, then None; `finish` says why it ended."""

    ids: Sequence[int]
    decoding: Decoding
    seed: int | None = None
    out: queue.Queue[int | None] = field(default_factory=queue.Queue)
    finish: str = ""  # stop, length, cancelled or error
    drawn: int = 0
    cancelled: threading.Event = field(default_factory=threading.Event)

    def end(self, why: str) -> None:
        self.finish = why
        self.out.put(None)


@dataclass(eq=False)
class Work:
    """Something else for the model's thread: `run` is called once with the texts of all waiting work of its kind."""

    run: Callable[[list[Any]], Sequence[Any]]
    texts: list[Any]
    done: Future[list[Any]] = field(default_factory=Future)


class Group:
    """Answers that started together: one batch, one stream of random numbers."""

    def __init__(self, asks: list[Ask], model: Any, pad: int) -> None:
        self.asks = asks
        self.batch = _Batch.of([ask.ids for ask in asks], pad, model)
        seed = asks[0].seed
        self.generator = torch.Generator(model.device)
        self.generator.manual_seed(seed) if seed is not None else self.generator.seed()

    @torch.inference_mode()
    def step(self, model: Any, stops: set[int]) -> bool:
        """One token for every row that goes on; whether any still does."""
        batch = self.batch
        logits = model(
            input_ids=batch.ids,
            attention_mask=batch.mask,
            position_ids=batch.positions,
            past_key_values=batch.cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        tokens = pick(logits.float(), self.asks[0].decoding, self.generator)
        for place, token in enumerate(tokens.tolist()):
            if batch.going[place]:
                batch.going[place] = self._deliver(self.asks[batch.rows[place]], token, stops)
        if any(batch.going):
            batch.advance(tokens)
            return True
        return False

    def _deliver(self, ask: Ask, token: int, stops: set[int]) -> bool:
        """Hand a token over; whether the answer goes on."""
        ask.drawn += 1
        if ask.cancelled.is_set():
            ask.end("cancelled")
        elif token in stops:
            ask.end("stop")
        else:
            ask.out.put(token)
            if ask.drawn >= ask.decoding.max_new_tokens:
                ask.end("length")
        return not ask.finish

    @property
    def going(self) -> int:
        return sum(not ask.finish for ask in self.asks)


class Resident:
    """Takes asks and work from any thread; `run` belongs to the one thread that owns the model."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.stops = stop_tokens(model, tokenizer) if model is not None else set()
        self.waiting: queue.Queue[Ask | Work] = queue.Queue()
        self.groups: list[Group] = []
        self.late: list[Ask] = []  # for which there is no room yet
        self.last_used = time.monotonic()

    def ask(self, ask: Ask) -> Ask:
        self.waiting.put(ask)
        return ask

    def work(self, run: Callable[[list[Any]], Sequence[Any]], texts: list[Any]) -> list[Any]:
        """What `run` makes of the texts, one thing each; calls that wait together run as one."""
        work = Work(run, texts)
        self.waiting.put(work)
        return work.done.result()

    @property
    def active(self) -> int:
        return sum(group.going for group in self.groups) + len(self.late)

    def run(self) -> None:
        """For ever; a failure ends what was in flight and nothing else."""
        while True:
            try:
                self.turn()
            except Exception as broken:  # whatever the model raises: those who wait must hear of it
                print(f"resident engine: {type(broken).__name__}: {broken}", flush=True)
                for ask in itertools.chain(self.late, *(group.asks for group in self.groups)):
                    if not ask.finish:
                        ask.end("error")
                self.groups, self.late = [], []

    def turn(self) -> None:
        """Take in what came, then one token for everybody."""
        asks, work = self._arrived()
        self._do(work)
        self._start(asks)
        self.groups = [group for group in self.groups if group.step(self.model, self.stops)]
        if asks or work or self.groups:
            self.last_used = time.monotonic()

    def _arrived(self) -> tuple[list[Ask], list[Work]]:
        """Everything that waits. Without anything in flight the first one is waited for, then its company."""
        found: list[Ask | Work] = []
        try:
            if not self.groups and not self.late:
                found.append(self.waiting.get(timeout=0.5))
                time.sleep(GATHER_SECONDS)
            while True:
                found.append(self.waiting.get_nowait())
        except queue.Empty:
            pass
        return [x for x in found if isinstance(x, Ask)], [x for x in found if isinstance(x, Work)]

    def _do(self, work: list[Work]) -> None:
        for run in dict.fromkeys(one.run for one in work):
            together = [one for one in work if one.run == run]
            try:
                results = iter(run([text for one in together for text in one.texts]))
                for one in together:
                    one.done.set_result(list(itertools.islice(results, len(one.texts))))
            except Exception as broken:
                for one in together:
                    if not one.done.done():
                        one.done.set_exception(broken)

    def _start(self, asks: list[Ask]) -> None:
        """Groups of what may be drawn together, as far as there is room."""
        queued = [ask for ask in [*self.late, *asks] if not self._given_up(ask)]
        room = max(0, ROWS - sum(group.going for group in self.groups))
        now, self.late = queued[:room], queued[room:]
        together: dict[Any, list[Ask]] = {}
        for ask in now:
            own = next(_number) if ask.seed is not None else 0  # a seeded answer depends on nobody's company
            together.setdefault((ask.decoding.temperature, ask.decoding.top_p, own), []).append(ask)
        pad = self.tokenizer.pad_token_id if now else 0
        self.groups += [Group(group, self.model, pad) for group in together.values()]

    def _given_up(self, ask: Ask) -> bool:
        if ask.cancelled.is_set():
            ask.end("cancelled")
        return bool(ask.finish)
