"""External runs: a policy that was trained elsewhere enters the same lineage, evaluation and gates.

What was trained is named in one of four ways: a directory below PLUMBLINE_EXTERNAL_ROOTS, an entry of PLUMBLINE_BASES,
the digest of an artifact of ours, or the id of a model on a hub. Directories are referred to, not copied: the artifact
holds links and every file's digest. Of a hub's model nothing is here, so its policy is `external`: it is known by its
answers, and the digest of its weights is not known.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction

from feedback import events, intake
from feedback.errors import BadInput, Conflict, NotFound
from feedback.models import Policy, User
from feedback.wake import wake

from . import artifacts, bases, evaluations
from .figures import parse_figures
from .models import Base, RewardDataset, Run
from .spec import SpecError

HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(@[\w.-]+)?")
DIGEST = re.compile(r"[0-9a-f]{64}")
KEPT = {".safetensors", ".json", ".model", ".txt", ".jinja"}
REPORTED = "reported with the run"  # the material of the metrics that came with it


def order(
    *,
    dataset: RewardDataset,
    artifact: str,
    base: Policy,
    metrics: dict[str, Any] | None = None,
    slug: str = "",
    actor: User | None = None,
) -> Run:
    """A run of kind `external`. What can be known to be wrong is refused now; reading the files is left to a worker."""
    if dataset.status != "ready":
        raise Conflict(f"dataset: {dataset.name} is {dataset.status}, not ready.", where="dataset")
    if slug and Policy.objects.filter(slug=slug).exists():
        raise Conflict(f"slug: there is a policy {slug} already.", where="slug")
    figures = check_metrics(metrics or {})
    if not _is_hub_id(artifact):
        locate(artifact)
    with transaction.atomic():
        run = Run.objects.create(
            kind="external", dataset=dataset, policy=base, base=base.base, worker_queue="default", created_by=actor,
            inputs={"artifact": artifact, "figures": figures, "slug": slug},
        )  # fmt: skip
        events.record("run.ordered", run, actor=actor, after={"kind": "external", "artifact": artifact})
        wake("rlhf.tasks.run_job", str(run.pk), queue=run.worker_queue)
    return run


def check_metrics(metrics: dict[str, Any]) -> dict[str, Any]:
    """Figures out of {name: number} or {name: {"value", "se", "n"}}; BadInput names the wrong one."""
    if not metrics:
        return {}
    numbers = {name: value if isinstance(value, dict) else {"value": value} for name, value in metrics.items()}
    try:
        return parse_figures({"figures": numbers})
    except SpecError as wrong:
        where = wrong.field.replace("figures", "metrics", 1)
        raise BadInput(f"{where}: {wrong.message}", where=where) from wrong


def _is_hub_id(artifact: str) -> bool:
    return bool(HUB.fullmatch(artifact)) and artifact not in bases.names()


def locate(artifact: str) -> Path:
    """The directory that is meant. NotFound or BadInput when there is none that may be used."""
    if DIGEST.fullmatch(artifact):
        return artifacts.path_of(artifact)
    if artifact in bases.names():
        return bases.path_of(artifact)
    if not artifact.startswith("/"):
        raise _bad("a directory's full path, a base's name, an artifact's digest, or a hub id as org/model.")
    path = Path(artifact).resolve()
    if not _allowed(path):
        roots = ", ".join(settings.PLUMBLINE_EXTERNAL_ROOTS) or "none (PLUMBLINE_EXTERNAL_ROOTS names them)"
        raise _bad(f"{artifact} lies outside the directories that may be read: {roots}.")
    if not path.is_dir():
        raise NotFound(f"artifact: there is no directory {artifact} on this machine.", where="artifact")
    return path


def _bad(message: str) -> BadInput:
    return BadInput(f"artifact: {message}", where="artifact")


def _allowed(path: Path) -> bool:
    return any(path.is_relative_to(Path(root).resolve()) for root in settings.PLUMBLINE_EXTERNAL_ROOTS)


class External:
    """The run kind. No engine works for it: its output is laid out here, as links."""

    makes = "a policy"

    def lay_out(self, run: Run, inputs: Path) -> None:
        """Nothing goes in."""

    def produce(self, run: Run, folder: Path) -> None:
        """`out/` and `result.json`, as an engine would leave them."""
        artifact, out = run.inputs["artifact"], folder / "out"
        out.mkdir()
        if _is_hub_id(artifact):
            said: dict[str, Any] = {"hub": artifact, "digest": None}
            (out / "reference.json").write_text(json.dumps(said, indent=1))
        else:
            said = {"source": artifact, **_take(locate(artifact), run, out)}
        result = {"figures": run.inputs["figures"], "external": said}
        (folder / "result.json").write_text(json.dumps(result))

    def register(self, run: Run, out: Path, result: dict[str, Any]) -> None:
        """The policy, a child of the one that it was trained from."""
        parent = run.policy
        assert parent is not None
        slug = run.inputs.get("slug") or f"{parent.slug[:60]}-external-{str(run.pk)[-6:]}"
        same: dict[str, Any] = {"system_prompt": parent.system_prompt, "parent": parent}
        said = result["external"]
        if "hub" in said:
            note = f"{said['hub']}; the digest of its weights is not known here"
            policy, new = intake.add_policy(slug=slug, kind="external", note=note, **same)
        else:
            weights: dict[str, Any] = self._weights(run, parent, slug, said)
            decoding = {k: v for k, v in parent.decoding.items() if k != "best_of"}
            note = f"trained elsewhere: {said['source']}"[:300]
            policy, new = intake.add_policy(slug=slug, kind="local", note=note, decoding=decoding, **weights, **same)
        if not new:
            raise Conflict(f"There is a policy {slug} already; name another slug.")
        Run.objects.filter(pk=run.pk).update(produced_policy=policy)
        if run.inputs["figures"]:
            evaluations.store(policy=policy, evaluator=REPORTED, figures=run.inputs["figures"], run=run)

    def _weights(self, run: Run, parent: Policy, slug: str, said: dict[str, Any]) -> dict[str, str]:
        if said["what"] == "adapter":
            return {"base": parent.base, "adapter": run.artifact}
        if said["source"] in bases.names():
            return {"base": said["source"]}
        name = slug[:100]
        if name in bases.names():
            raise Conflict(f"There is a base model {name} already; name another slug.")
        Base.objects.create(name=name, digest=run.artifact, run=run)
        return {"base": name}


def _take(source: Path, run: Run, out: Path) -> dict[str, str]:
    """Links to the files of a model directory, or of the policy's adapters with this one as the last."""
    files = _checked_files(source)
    if not (source / "adapter_config.json").is_file():
        _link(files, out)
        return {"what": "model"}
    parent = run.policy
    assert parent is not None
    if parent.kind != "local":
        raise BadInput(f"base: an adapter needs a base model, and {parent.slug} has none here.", where="base")
    chain = artifacts.path_of(parent.adapter) if parent.adapter else None
    links = sorted(chain.glob("[0-9]*"), key=lambda path: int(path.name)) if chain else []
    for number, link in enumerate([*links, source]):
        (out / str(number)).mkdir()
        _link(_checked_files(link), out / str(number))
    return {"what": "adapter"}


def _checked_files(source: Path) -> list[Path]:
    """The files of a model or an adapter; BadInput when they are no safetensors, not whole, or lie elsewhere."""
    files = [path for path in sorted(source.iterdir()) if path.is_file() and path.suffix in KEPT]
    weights = [path for path in files if path.suffix == ".safetensors"]
    if not weights:
        raise _bad(f"{source} holds no safetensors; other formats of weights are refused.")
    if not {"config.json", "adapter_config.json"} & {path.name for path in files}:
        raise _bad(f"{source} holds neither config.json nor adapter_config.json.")
    for path in files:
        if not (_allowed(path.resolve()) or path.resolve().is_relative_to(source.resolve())):
            raise _bad(f"{path} leads out of the directories that may be read.")
    for path in weights:
        _check_whole(path)
    return files


def _check_whole(path: Path) -> None:
    """By its header, a safetensors file says how long it is."""
    size = path.stat().st_size
    try:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if length > min(size, 100 * 2**20):
                raise ValueError("its header is longer than the file")
            header = json.loads(stream.read(length))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        whole = 8 + length + max(ends, default=0) == size
    except (ValueError, KeyError, TypeError, AttributeError) as wrong:
        raise _bad(f"{path} is no safetensors file ({wrong}).") from wrong
    if not whole:
        raise _bad(f"{path} is cut short or damaged.")


def _link(files: list[Path], out: Path) -> None:
    for path in files:
        (out / path.name).symlink_to(path.resolve())
