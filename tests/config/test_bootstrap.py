"""Making the environment: what is wrong is said in one line, what is there is not done again."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from config import bootstrap
from config.bootstrap import GROUPS, Progress, Trouble

ROOT = Path(__file__).resolve().parent.parent.parent
WEB = GROUPS["web"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A root with requirements and an empty directory for the environment."""
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    (tmp_path / ".venv").mkdir()
    return tmp_path


@pytest.mark.parametrize("version", [(2, 7), (3, 8), (3, 10)])
def test_an_old_python_is_refused(version: tuple[int, int]) -> None:
    with pytest.raises(Trouble, match="3.11 or newer"):
        bootstrap.check_python(version)


def test_a_new_python_is_accepted() -> None:
    bootstrap.check_python((3, 13))


def test_a_missing_venv_module_says_what_to_install() -> None:
    printed = "The virtual environment was not created successfully because ensurepip is not\navailable."
    assert "python3-venv" in bootstrap.explain_venv(printed)


def test_a_full_disk_is_found_before_anything_is_fetched(tmp_path: Path) -> None:
    with pytest.raises(Trouble, match="the disk is full.*needs about"):
        bootstrap.check_disk(tmp_path, 10**9, "the web half")


@pytest.mark.parametrize(
    ("printed", "said"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "disk is full"),
        (
            "WARNING: Retrying after connection broken by 'NewConnectionError: [Errno 111] Connection refused'\n"
            "ERROR: No matching distribution found for celery==5.7.0",
            "index cannot be reached",
        ),
        ("WARNING: Temporary failure in name resolution", "index cannot be reached"),
        ("ERROR: No matching distribution found for torch==2.13.0", "no torch==2.13.0 for Python"),
        ("noise\nERROR: something else\nnoise", "something else"),
    ],
)
def test_pips_failure_becomes_one_line(printed: str, said: str) -> None:
    line = bootstrap.explain_pip(printed, WEB)
    assert said in line and "\n" not in line


def test_progress_adds_up_what_pip_says_it_fetches() -> None:
    shown: list[str] = []
    progress = Progress(WEB, show=shown.append)
    progress.read("Downloading a-1.whl (30.0 MB)\n")
    progress.read("Using cached b-1.whl (500 kB)\n")
    progress.read("Collecting c\n")
    progress.read("Installing collected packages: a, b\n")
    assert progress.fetched == pytest.approx(30.5)
    assert shown[0].endswith(f"30 of about {WEB.fetch_mb} MB")
    assert "unpacking" in shown[-1]


def test_the_size_is_said_beforehand_and_a_cuda_build_is_pointed_out() -> None:
    group = GROUPS["train"]
    assert f"{group.fetch_mb} MB to fetch" in bootstrap.announce(group, group.disk_mb)
    assert "PLUMBLINE_TORCH_INDEX" in bootstrap.announce(group, group.disk_mb + bootstrap.CUDA_MB)


def test_an_index_for_torch_is_used_when_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PLUMBLINE_TORCH_INDEX", raising=False)
    assert bootstrap.torch_options() == []
    monkeypatch.setenv("PLUMBLINE_TORCH_INDEX", "https://index.example/cpu")
    assert bootstrap.torch_options() == ["--extra-index-url", "https://index.example/cpu"]


def test_requirements_that_did_not_change_are_not_installed_again(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(bootstrap, "install", lambda root, group: calls.append(group.name))
    monkeypatch.setattr(bootstrap, "_installed", lambda root, group: True)
    bootstrap.ensure(project, WEB)
    bootstrap.ensure(project, WEB)
    assert calls == ["web"]
    with open(project / "requirements" / "web.txt", "a") as file:
        file.write("another==1.0\n")
    bootstrap.ensure(project, WEB)
    assert calls == ["web", "web"]


def test_a_failed_installation_leaves_no_stamp(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(root: Path, group: bootstrap.Group) -> None:
        raise Trouble("no")

    monkeypatch.setattr(bootstrap, "install", fail)
    monkeypatch.setattr(bootstrap, "_installed", lambda root, group: True)
    with pytest.raises(Trouble):
        bootstrap.ensure(project, WEB)
    assert not bootstrap.is_fresh(project, WEB)


def test_every_requirement_is_pinned_exactly() -> None:
    for path in (ROOT / "requirements").glob("*.txt"):
        for line in path.read_text().splitlines():
            if line and not line.startswith(("#", "-")):
                assert "==" in line, f"{path.name}: {line}"


@pytest.mark.slow
def test_an_unreachable_index_is_one_line_and_exit_1(tmp_path: Path) -> None:
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "web.txt").write_text("no-such-package-of-ours==1.0\n")
    (tmp_path / "requirements" / "constraints.txt").write_text("")
    code = "import sys; from pathlib import Path; from config import bootstrap; "
    code += f"sys.exit(bootstrap.main(['web'], Path({str(tmp_path)!r})))"
    unreachable = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": ""}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=kept | unreachable, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and "index cannot be reached" in done.stderr, done.stderr
