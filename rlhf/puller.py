"""Carries out runs on a machine that has nothing of the site but its address and a token.

    python -m rlhf.puller --url https://plumbline.example --token pl_... --queue gpu --workdir /scratch/runs [--once]

It needs this repository, the training packages and httpx; no Django, no database, no broker. Killed and started again
it goes on with the run it had, if the site still counts its attempt; else the site has given the run to somebody else.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from rlhf import digests
from rlhf.engine.run_dir import read_lines, write_atomically
from rlhf.exit_reasons import moved_on, told_code
from rlhf.spec import EXIT_DONE, EXIT_LOCKED, EXIT_USER_ERROR

log = logging.getLogger("plumbline.puller")
ROOT = Path(__file__).resolve().parent.parent
LAUNCHER = "{python} -m rlhf.engine {run_dir}"
REPORT_SECONDS = 3.0
IDLE_SECONDS = 5.0
FORCE_SECONDS = 60.0  # from the stop file to SIGTERM; to SIGKILL twice that
RETRY_SECONDS = (1, 2, 5, 10, 30)
LOG_TAIL = 8000
LINES = 1000  # of progress in one report
CHUNK = 2**20


class Lost(Exception):
    """The site no longer counts this attempt."""


class Refused(Exception):
    """The site will not have this, however often it is said."""


@dataclass
class Site:
    """The site's side, over HTTP. A call is repeated while the site cannot be reached or is at fault itself."""

    url: str
    token: str
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        headers = {"Authorization": f"Bearer {self.token}"}
        timeout = httpx.Timeout(600.0, connect=10.0)
        self.client = httpx.Client(base_url=f"{self.url.rstrip('/')}/api/v1/", headers=headers, timeout=timeout)

    def call(self, method: str, path: str, tries: int | None = None, **body: Any) -> httpx.Response:
        """The answer. Lost on 409, Refused on any other refusal; TransportError when `tries` are used up."""
        number = 0
        while True:
            try:
                answer = self.client.request(method, path, **{k: v() if callable(v) else v for k, v in body.items()})
            except httpx.TransportError as broken:
                reason, failed = str(broken), broken
            else:
                if answer.status_code < 500:
                    return self._checked(answer)
                reason, failed = f"HTTP {answer.status_code}", httpx.TransportError(answer.text[:200])
            number += 1
            if tries is not None and number >= tries:
                raise failed
            wait = RETRY_SECONDS[min(number, len(RETRY_SECONDS)) - 1]
            log.warning("%s %s: %s; again in %d s", method, path, reason, wait)
            time.sleep(wait)

    def _checked(self, answer: httpx.Response) -> httpx.Response:
        if answer.status_code == 409:
            raise Lost(answer.text[:300])
        if answer.status_code >= 400:
            raise Refused(f"HTTP {answer.status_code}: {answer.text[:300]}")
        return answer

    def download(self, path: str, target: Path) -> None:
        """One file, whole or not at all."""
        with self.client.stream("GET", path) as answer:
            if answer.status_code >= 400:
                answer.read()
                self._checked(answer)
                raise httpx.TransportError(f"HTTP {answer.status_code}")
            with target.open("wb") as stream:
                for chunk in answer.iter_bytes(CHUNK):
                    stream.write(chunk)


@dataclass
class Job:
    """A run that was pulled: its directory, and what the site said about it."""

    folder: Path
    said: dict[str, Any]

    @property
    def path(self) -> str:
        return f"runs/{self.said['run']}"

    @property
    def attempt(self) -> int:
        return int(self.said["attempt"])

    def log_tail(self, since: int = 0) -> str:
        path = self.folder / "log.txt"
        if not path.exists():
            return ""
        with path.open("rb") as stream:
            stream.seek(max(since, path.stat().st_size - LOG_TAIL))
            return stream.read().decode("utf-8", "replace").replace("\x00", "")

    def steps(self) -> int:
        lines = read_lines(self.folder / "progress.jsonl")
        return len({(row.get("phase"), row.get("step")) for row in lines if isinstance(row, dict)})


class Reporter(threading.Thread):
    """Says every few seconds that the attempt lives, with what is new; hears whether it is to stop or is lost."""

    def __init__(self, site: Site, job: Job) -> None:
        super().__init__(daemon=True)
        self.site, self.job = site, job
        self.over, self.lost = threading.Event(), threading.Event()
        self.told = {"progress.jsonl": 0, "samples.jsonl": 0}

    def run(self) -> None:
        while not self.over.is_set():
            try:
                self.report()
            except Lost as why:
                log.warning("run %s: %s", self.job.said["run"], why)
                self.lost.set()
                return
            except (httpx.TransportError, Refused) as broken:
                log.warning("report: %s", broken)
            self.over.wait(REPORT_SECONDS)

    def report(self) -> None:
        """What is new, a thousand lines a call."""
        while self._say():
            pass

    def _say(self) -> bool:
        """One call; whether there is more to say."""
        there = {name: read_lines(self.job.folder / name) for name in self.told}
        news = {name: [plain(row) for row in rows[self.told[name] :][:LINES]] for name, rows in there.items()}
        body = {
            "attempt": self.job.attempt,
            "lines": news["progress.jsonl"],
            "samples": news["samples.jsonl"],
            "log": self.job.log_tail(),
        }
        answer = self.site.call("POST", f"{self.job.path}/report/", tries=1, json=body).json()
        self.told = {name: told + len(news[name]) for name, told in self.told.items()}
        if answer["stop"]:
            (self.job.folder / "stop").touch()
        return any(self.told[name] < len(rows) for name, rows in there.items())

    def finish(self) -> None:
        """The last lines; Lost when nobody wants them any more."""
        self.over.set()
        self.join()
        if self.lost.is_set():
            raise Lost("the attempt no longer counts")


@dataclass
class Puller:
    site: Site
    queue: str
    workdir: Path
    launcher: str
    have: list[Path]
    store_gb: float = 100.0
    worker: str = field(default_factory=socket.gethostname)
    stopping: threading.Event = field(default_factory=threading.Event)

    def work(self, once: bool) -> int:
        """Go on with what a former life left, then pull; returns how many runs were carried out."""
        done = 0
        for job in self.left_over():
            done += self.carry_out(job)
        while not self.stopping.is_set() and not (once and done):
            pulled = self.pull()
            if pulled is not None:
                done += self.carry_out(pulled)
            elif once:
                break
            else:
                self.stopping.wait(IDLE_SECONDS)
        return done

    def left_over(self) -> Iterator[Job]:
        """Runs of a former life whose attempt still counts."""
        for note in sorted(self.workdir.glob("runs/*/pull.json")):
            job = Job(note.parent, json.loads(note.read_text()))
            try:
                self.site.call("POST", f"{job.path}/report/", json={"attempt": job.attempt})
            except (Lost, Refused):
                note.unlink()  # the directory stays: its checkpoints serve if the run comes back here
                continue
            yield job

    def pull(self) -> Job | None:
        body = {"queue": self.queue, "worker": self.worker}
        answer = self.site.call("POST", "runs/pull/", json=body)
        if answer.status_code == 204:
            return None
        said = answer.json()
        folder = self.workdir / "runs" / said["run"]
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / "pull.json", json.dumps(said).encode())
        log.info("run %s, attempt %d: %s", said["run"], said["attempt"], said["spec"]["kind"])
        return Job(folder, said)

    def carry_out(self, job: Job) -> int:
        """Inputs in, engine through, output out. 1 when the site has taken the end, 0 when the run was lost."""
        reporter = Reporter(self.site, job)
        reporter.start()
        try:
            status = self._through(job, reporter)
        except Lost as why:
            log.warning("run %s was lost: %s", job.said["run"], why)
            (job.folder / "pull.json").unlink(missing_ok=True)
            return 0
        except (OSError, Refused) as broken:  # this machine's fault, or the output's: the run's page says so
            log.error("run %s: %s", job.said["run"], broken)
            error = {"code": "puller", "message": f"Where the run was carried out: {broken}"[:500]}
            write_atomically(job.folder / "error.json", json.dumps(error).encode())
            status = self.conclude(job, EXIT_USER_ERROR, {}, job.log_tail(), False)
        finally:
            reporter.over.set()
        log.info("run %s: %s", job.said["run"], status)
        if status == "queued":
            (job.folder / "pull.json").unlink(missing_ok=True)
        else:
            shutil.rmtree(job.folder, ignore_errors=True)
            self.prune()
        return 1

    def _through(self, job: Job, reporter: Reporter) -> str:
        """All of it; returns the run's status."""
        self.lay_out(job)
        since = len_of(job.folder / "log.txt")
        code = self.run_engine(job, reporter)
        outputs = self.send_output(job) if code == EXIT_DONE else {}
        reporter.finish()
        reporter.report()
        further = moved_on(job.folder, job.steps(), code)
        return self.conclude(job, code, outputs, job.log_tail(since), further)

    # --- inputs ------------------------------------------------------------------------------------------

    def lay_out(self, job: Job) -> None:
        here = self.files_here()
        inputs = job.folder / "inputs"
        shutil.rmtree(inputs, ignore_errors=True)
        inputs.mkdir()
        for entry in job.said["files"]:
            path = inputs / entry["name"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(here.get(entry["sha256"]) or self.fetch(job, entry))
        cache = self.workdir / "cache" / "features"
        cache.mkdir(parents=True, exist_ok=True)
        if not (inputs / "cache").exists():
            (inputs / "cache").symlink_to(cache)
        (job.folder / "stop").unlink(missing_ok=True)
        write_atomically(job.folder / "spec.json", json.dumps(job.said["spec"], indent=1).encode())

    def files_here(self) -> dict[str, Path]:
        """Files of the directories that the owner said are here already, by digest."""
        found: dict[str, Path] = {}
        for folder in self.have:
            known = digests.remembered(folder, self.workdir / "cache" / "digests")
            found |= {digest: folder.resolve() / name for name, digest in known.items()}
        return found

    def prune(self) -> None:
        """Downloads that were used least lately go, as long as the store is larger than it may be."""
        kept = sorted((self.workdir / "files").glob("*"), key=lambda path: path.stat().st_mtime)
        size = sum(map(len_of, kept))
        while kept and size > self.store_gb * 2**30:
            size -= len_of(kept[0])
            kept.pop(0).unlink()

    def fetch(self, job: Job, entry: dict[str, Any]) -> Path:
        """The file from the store by digest, downloaded when it is not there yet."""
        store = self.workdir / "files"
        store.mkdir(parents=True, exist_ok=True)
        target, draft = store / entry["sha256"], store / f"{entry['sha256']}.part"
        for number in range(5):
            if target.exists():
                target.touch()
                return target.resolve()
            try:
                self.site.download(f"{job.path}/inputs/{entry['name']}?attempt={job.attempt}", draft)
            except httpx.TransportError as broken:
                log.warning("%s: %s", entry["name"], broken)
                time.sleep(RETRY_SECONDS[number])
                continue
            if digests.sha256_of(draft) == entry["sha256"]:
                draft.replace(target)
        raise Lost(f"{entry['name']} cannot be had")

    # --- the engine --------------------------------------------------------------------------------------

    def run_engine(self, job: Job, reporter: Reporter) -> int:
        """Its exit code. An engine of a former life that still holds the directory is waited for."""
        while True:
            code = self._engine_once(job, reporter)
            if code != EXIT_LOCKED:
                return code
            self.stopping.wait(2)

    def _engine_once(self, job: Job, reporter: Reporter) -> int:
        filled = {"python": sys.executable, "run_dir": job.folder, "run": job.said["run"]}
        words = [word.format(**filled) for word in shlex.split(self.launcher)]
        own = {"PLUMBLINE_SUPERVISED": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
        with (job.folder / "log.txt").open("ab") as output:
            child = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT, env=os.environ | own,
                start_new_session=True,
            )  # fmt: skip
        try:
            return told_code(self._watch(job, child, reporter), job.folder, job.attempt)
        finally:
            kill_group(child, signal.SIGKILL)
            assert child.stdin is not None
            child.stdin.close()
            child.wait()

    def _watch(self, job: Job, child: subprocess.Popen[bytes], reporter: Reporter) -> int:
        asked: float | None = None
        while (code := child.poll()) is None:
            if reporter.lost.is_set():
                raise Lost("the attempt no longer counts")
            if self.stopping.is_set():
                (job.folder / "stop").touch()
            if asked is None and (job.folder / "stop").exists():
                asked = time.monotonic()
            if asked is not None and time.monotonic() - asked > FORCE_SECONDS:
                hard = time.monotonic() - asked > 2 * FORCE_SECONDS
                kill_group(child, signal.SIGKILL if hard else signal.SIGTERM)
            time.sleep(0.2)
        return code

    # --- output ------------------------------------------------------------------------------------------

    def send_output(self, job: Job) -> dict[str, str]:
        """Every file of `out/`; returns their digests by name."""
        out = job.folder / "out"
        outputs = digests.files_of(out) if out.is_dir() else {}
        for name, digest in outputs.items():
            query = f"attempt={job.attempt}&sha256={digest}"
            headers = {"Content-Length": str(len_of(out / name)), "Content-Type": "application/octet-stream"}
            self.site.call("PUT", f"{job.path}/output/{name}?{query}", headers=headers, content=reading(out / name))
        return outputs

    def conclude(self, job: Job, code: int, outputs: dict[str, str], tail: str, moved_on: bool) -> str:
        body = {
            "attempt": job.attempt,
            "code": code,
            "outputs": outputs,
            "result": json_of(job.folder / "result.json"),
            "error": json_of(job.folder / "error.json"),
            "log": tail,
            "moved_on": moved_on,
        }
        status: str = self.site.call("POST", f"{job.path}/conclude/", json=body).json()["status"]
        return status


def reading(path: Path) -> Callable[[], Iterator[bytes]]:
    """The file's bytes, from the start again at each try."""

    def chunks() -> Iterator[bytes]:
        with path.open("rb") as stream:
            while chunk := stream.read(CHUNK):
                yield chunk

    return chunks


def plain(data: Any) -> Any:
    """The same JSON without NUL in its texts and with null for numbers that are none."""
    if isinstance(data, dict):
        return {plain(name): plain(value) for name, value in data.items()}
    if isinstance(data, list):
        return [plain(item) for item in data]
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    return data.replace("\x00", "") if isinstance(data, str) else data


def json_of(path: Path) -> Any:
    try:
        return plain(json.loads(path.read_text()))
    except (OSError, ValueError):
        return None


def len_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def kill_group(child: subprocess.Popen[bytes], sign: signal.Signals) -> None:
    try:
        os.killpg(child.pid, sign)
    except ProcessLookupError:
        return


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m rlhf.puller", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--url", required=True)
    parser.add_argument("--token", default=os.environ.get("PLUMBLINE_TOKEN", ""), help="or PLUMBLINE_TOKEN")
    parser.add_argument("--queue", default="train")
    parser.add_argument("--workdir", type=Path, required=True)
    parser.add_argument("--launcher", default=os.environ.get("PLUMBLINE_LAUNCHER") or LAUNCHER)
    parser.add_argument("--have", type=Path, action="append", default=[], metavar="DIR", help="files not to download")
    parser.add_argument("--store-gb", type=float, default=100.0, help="of downloads that are kept for later runs")
    parser.add_argument("--once", action="store_true", help="carry out one run at most, then end")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    options.workdir.mkdir(parents=True, exist_ok=True)
    site, workdir = Site(options.url, options.token), options.workdir.resolve()
    puller = Puller(site, options.queue, workdir, options.launcher, options.have, options.store_gb)
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: puller.stopping.set())
    try:
        done = puller.work(options.once)
    except Refused as why:
        print(f"puller: {why}", file=sys.stderr)
        return 1
    print(f"puller: {done} run{'' if done == 1 else 's'} carried out")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
