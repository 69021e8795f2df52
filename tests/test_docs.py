"""README and the guides: what they name exists, and the script they give trains."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import uuid
from argparse import ArgumentParser
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class
from django.test import Client
from django.urls import Resolver404, resolve

from api import tokens
from feedback import aggregation
from feedback.models import Judgment
from feedback.prompt_files import import_prompts
from rlhf import artifacts, reward_datasets
from rlhf.models import Loop
from tests.factories import make_item, make_queue, make_user
from tests.factories_rlhf import make_dataset

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "demo" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SCREENSHOTS = {f"{name}-light.png" for name in ("annotate", "teach", "loop", "decision")}
COMMAND = re.compile(r"bin/manage ([a-z_]+)((?:(?!bin/manage)[^`\n#])*)")
LINK = re.compile(r"\]\(([^)\s]+)\)")
ADDRESS = re.compile(r"`(?:(?:GET|POST|PATCH|PUT|DELETE) )?(/[^`\s]*/)`")


def named(pattern: re.Pattern[str]) -> list[tuple[str, ...]]:
    """(page, what the pattern's groups found), each once."""
    found = {
        (str(page.relative_to(ROOT)), *match.groups())
        for page in PAGES
        for match in pattern.finditer(page.read_text(encoding="utf-8"))
    }
    return sorted(found)


def parser_of(command: str) -> ArgumentParser:
    app = get_commands()[command]
    loaded = load_command_class(app, command) if isinstance(app, str) else app
    return loaded.create_parser("manage.py", command)


@pytest.mark.parametrize(("page", "command", "rest"), named(COMMAND))
def test_every_command_and_option_named_exists(page: str, command: str, rest: str) -> None:
    assert command in get_commands(), f"{page} names bin/manage {command}"
    known = parser_of(command)._option_string_actions
    unknown = [option for option in re.findall(r"(?<!\S)\[?(--[a-z][a-z-]*)", rest) if option not in known]
    assert not unknown, f"{page}: bin/manage {command} has no {', '.join(unknown)}"


@pytest.mark.parametrize(("page", "target"), named(LINK))
def test_every_link_and_image_resolves(page: str, target: str) -> None:
    if re.match(r"[a-z]+:", target):
        pytest.skip("it leads outside")
    path, _, anchor = target.partition("#")
    there = (ROOT / page).parent / path if path else ROOT / page
    if there.name in SCREENSHOTS and not there.exists():
        pytest.skip(f"{there.name} has not been taken yet")
    assert there.exists(), f"{page} links to {target}"
    assert not anchor or anchor in headings(there), f"{there.name} has no heading #{anchor}"


def headings(page: Path) -> set[str]:
    """Anchors as the usual renderers make them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize(("page", "address"), named(ADDRESS))
def test_every_address_named_is_answered(page: str, address: str) -> None:
    shapes = [re.sub(r"[A-Z]{2,}|\{\w+\}", name, address) for name in ("x", str(uuid.uuid4()))]
    assert any(answered(prefix + shape) for shape in shapes for prefix in ("", "/api/v1")), f"{page}: {address}"


def answered(address: str) -> bool:
    if address == "/api/v1/":
        return True  # where calls begin, not one of them
    try:
        return resolve(address).url_name != "nothing"
    except Resolver404:
        return False


@pytest.mark.django_db
def test_the_calls_of_the_guides_are_accepted(settings) -> None:
    settings.PLUMBLINE_BASES = {"my-model": "/nowhere"}
    make_user("dana")
    make_dataset("support 1")
    token = tokens.create(user=make_user(role="admin"))[1]
    for method, address, body in calls("admins.md") + calls("engineers.md"):
        answer = Client().generic(
            method,
            address,
            body,
            content_type="application/json",
            headers={"Authorization": f"Bearer {token}"},
        )
        assert answer.status_code in (200, 201, 202), f"{method} {address}: {answer.content!r}"
    loop = Loop.objects.get()
    assert (loop.queue.slug, loop.prompt_filter) == ("support", {"metadata__queue": "support"})


def calls(page: str) -> list[tuple[str, str, str]]:
    """(method, address, body) of each curl line."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return re.findall(r"curl -X (\w+) \$SITE(\S+) [^']*-d '(\{.*?\})'\n", text, re.S)


@pytest.mark.django_db
def test_the_lines_of_prompts_in_the_guide_are_imported(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "engineers.md").read_text(encoding="utf-8")
    block = re.search(r"```\n(\{\"prompt\".*?)```", text, re.S)
    assert block is not None
    (tmp_path / "prompts.jsonl").write_text(block[1])
    done = import_prompts(path=tmp_path / "prompts.jsonl", queue=make_queue("support"))
    assert done.prompts == 3
    assert done.items + done.gate == 1  # the line with answers, wherever the hash puts it


def tree() -> list[str]:
    """The paths of README's file tree; two blanks of indentation are one level."""
    block = re.search(r"## What is where\n```\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)
    assert block is not None
    paths, above = [], [""]
    for line in block[1].splitlines():
        level = (len(line) - len(line.lstrip())) // 2
        above = [*above[: level + 1], above[level] + line.split()[0]]
        paths.append(above[-1])
    return paths


@pytest.mark.parametrize("path", tree())
def test_every_path_of_the_tree_exists(path: str) -> None:
    there = ROOT / path
    assert there.is_dir() if path.endswith("/") else there.is_file()


def test_the_tree_names_every_folder_with_code() -> None:
    kept = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if kept.returncode:
        pytest.skip("this is no git repository")
    folders = {line.split("/")[0] + "/" for line in kept.stdout.splitlines() if "/" in line}
    assert folders - {".ci/"} <= set(tree())


@pytest.mark.slow
@pytest.mark.django_db
def test_the_script_of_the_dataset_guide_trains_on_a_dataset_untouched(tmp_path: Path, settings) -> None:
    settings.PLUMBLINE_ARTIFACTS = tmp_path / "artifacts"
    script = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "datasets.md").read_text(encoding="utf-8"), re.S)
    assert script is not None and "plumbline" not in script[1].lower()
    (tmp_path / "plain.py").write_text(script[1])
    command = [sys.executable, "plain.py", str(tiny_model(tmp_path / "model")), str(dataset_folder())]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "dpo-out" / "checkpoint-20" / "trainer_state.json").exists()


def tiny_model(run_dir: Path) -> Path:
    """A model directory with a tokenizer and a chat template, hardly trained."""
    run_dir.mkdir()
    config = {"examples": 200, "steps": 2}
    (run_dir / "spec.json").write_text(json.dumps({"kind": "pretrain", "run": "tiny", "config": config}))
    subprocess.run([sys.executable, "-m", "rlhf.engine", str(run_dir)], cwd=ROOT, check=True)
    return run_dir / "out"


def dataset_folder() -> Path:
    """A dataset of twelve judged pairs, built as always."""
    queue = make_queue()
    for n in range(12):
        item = make_item(queue)
        item.seats.update(status="judged")
        Judgment.objects.create(item=item, queue=queue, answer={"choice": n % 2})
    aggregation.gather()
    dataset = reward_datasets.build(dataset_id=reward_datasets.order(name="pairs", queues=[queue]).pk)
    assert dataset.status == "ready", dataset.error
    return artifacts.path_of(dataset.artifact)
