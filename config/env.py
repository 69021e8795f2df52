"""Settings read from the environment: each reader returns a good value or raises one clear line."""

from __future__ import annotations

import json
import os
import secrets
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

TRUE, FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off", ""}
DATABASE_SCHEMES = {"sqlite", "postgres", "postgresql"}
# STACK: IMMEDIATE and a patient timeout are what make SQLite safe for many annotators at once.
SQLITE_OPTIONS: dict[str, Any] = {
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    "init_command": (
        "PRAGMA journal_mode=WAL;PRAGMA synchronous=NORMAL;PRAGMA mmap_size=134217728;"
        "PRAGMA cache_size=-2000;PRAGMA journal_size_limit=27103364;"
    ),
}


def read_bool(env: Mapping[str, str], name: str, default: bool) -> bool:
    """True for 1/true/yes/on, False for 0/false/no/off; anything else is refused."""
    value = env.get(name)
    if value is None:
        return default
    word = value.strip().lower()
    if word not in TRUE | FALSE:
        raise ImproperlyConfigured(f"{name}={value!r} is not a yes or no; use 1 or 0.")
    return word in TRUE


def read_int(env: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    """A whole number in low..high."""
    value = env.get(name) or str(default)
    if not value.strip().isdecimal() or not low <= int(value) <= high:
        raise ImproperlyConfigured(f"{name}={value!r} must be a whole number from {low} to {high}.")
    return int(value)


def read_float(env: Mapping[str, str], name: str, default: float, low: float, high: float) -> float:
    """A number in low..high."""
    try:
        value = float(env.get(name) or default)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise ImproperlyConfigured(f"{name}={env.get(name)!r} must be a number from {low} to {high}.")
    return value


def read_list(env: Mapping[str, str], name: str, default: str) -> list[str]:
    """Comma-separated words, blanks dropped."""
    return [word.strip() for word in env.get(name, default).split(",") if word.strip()]


def read_bases(env: Mapping[str, str], name: str) -> dict[str, str]:
    """A JSON object, base name -> directory."""
    text = env.get(name) or "{}"
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} is not JSON: {error}.")
    if not isinstance(value, dict) or not all(isinstance(path, str) for path in value.values()):
        raise ImproperlyConfigured(f'{name} must be a JSON object of names and texts, {{"name": "..."}}.')
    return value


def read_evaluators(env: Mapping[str, str], name: str) -> dict[str, str]:
    """A JSON object, evaluator name -> command template."""
    value = read_bases(env, name)
    for evaluator, template in value.items():
        try:
            template.format(python="", policy_dir="", out="")
            shlex.split(template)
        except (KeyError, IndexError, ValueError) as wrong:
            raise ImproperlyConfigured(
                f"{name}: {evaluator!r}: only {{policy_dir}}, {{out}} and {{python}} are filled in ({wrong})."
            )
    return value


def read_launcher(env: Mapping[str, str], name: str, default: str) -> str:
    """A command template; it must say where the run directory goes."""
    value = env.get(name) or default
    if "{run_dir}" not in value:
        raise ImproperlyConfigured(f"{name}={value!r} must contain {{run_dir}}.")
    try:
        value.format(python="", run_dir="", run="")
    except (KeyError, IndexError, ValueError):
        raise ImproperlyConfigured(f"{name}={value!r}: only {{python}}, {{run_dir}} and {{run}} are filled in.")
    return value


def read_database(env: Mapping[str, str], name: str, default: str, pool_size: int) -> dict[str, Any]:
    """A Django DATABASES entry for sqlite:///PATH or postgres://USER:PASSWORD@HOST:PORT/NAME."""
    url = env.get(name) or default
    example = "use sqlite:///PATH or postgres://USER:PASSWORD@HOST:PORT/NAME."
    try:
        parts = urlsplit(url)
        port = parts.port
        if parts.scheme not in DATABASE_SCHEMES or len(parts.path) < 2:
            raise ValueError(f"scheme {parts.scheme!r}, path {parts.path!r}, port {port}")
        database: dict[str, Any] = dict(environ.Env.db_url_config(url))
    except (ValueError, ImproperlyConfigured):
        raise ImproperlyConfigured(f"{name} cannot be read as a database address; {example}")
    if parts.scheme == "sqlite":
        database |= {"OPTIONS": SQLITE_OPTIONS | database.get("OPTIONS", {}), "CONN_MAX_AGE": 600}
    else:
        options = {"pool": {"min_size": 0, "max_size": pool_size, "timeout": 10}} if pool_size else {}
        database |= {"OPTIONS": options | database.get("OPTIONS", {}), "CONN_MAX_AGE": 0}
    return database | {"ATOMIC_REQUESTS": False}


def read_redis(env: Mapping[str, str], name: str, home: Path) -> str | None:
    """The Redis address: the variable, else the private server that `bin/up` noted under home, else None."""
    url = env.get(name)
    if not url:
        note = home / "run" / "redis_url"
        return note.read_text().strip() or None if note.is_file() else None
    try:
        parts = urlsplit(url)
        good = bool(parts.hostname) if parts.scheme in {"redis", "rediss"} else len(parts.path) > 1
        _ = parts.port
    except ValueError:
        good = False
    if not good or parts.scheme not in {"redis", "rediss", "unix", "redis+socket"}:
        raise ImproperlyConfigured(
            f"{name} cannot be read as a Redis address; use redis://HOST:PORT/0 or redis+socket:///PATH."
        )
    return url


def cache_url(url: str) -> str:
    """The same server as redis-py names it (unix:// instead of Celery's redis+socket://)."""
    return "unix://" + url.removeprefix("redis+socket://") if url.startswith("redis+socket://") else url


def broker_url(url: str) -> str:
    """The same server as Celery names it."""
    if not url.startswith("unix://"):
        return url
    return "redis+socket://" + quote(unquote(url.removeprefix("unix://")), safe="/?=&")


def read_home(env: Mapping[str, str], default: Path) -> Path:
    """The state directory, made if missing."""
    home = Path(env.get("PLUMBLINE_HOME") or default).expanduser().resolve()
    try:
        (home / "run").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImproperlyConfigured(f"PLUMBLINE_HOME={str(home)!r} cannot be used: {error.strerror}.")
    return home


def read_secret_key(env: Mapping[str, str], home: Path) -> str:
    """SECRET_KEY, or one drawn once and kept in home/secret_key, mode 0600."""
    if env.get("SECRET_KEY"):
        return env["SECRET_KEY"]
    path = home / "secret_key"
    if not path.exists():
        draft = home / f"secret_key.{os.getpid()}"
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(64))
        try:
            os.link(draft, path)  # refuses to overwrite: whoever came first has the key
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text().strip()
