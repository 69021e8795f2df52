"""What `bin/test` runs: finds the services, says what is left out, then pytest, on each database.

The whole suite runs on SQLite. Tests marked `database` (races, intake, judging) run on PostgreSQL as well,
first, so that the last lines printed are those of the whole suite.
"""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import sys

NO_TESTS = 5  # pytest's exit code for an empty selection
BROWSERS = ["chromium", "chromium-browser", "google-chrome"]


def main(arguments: list[str]) -> int:
    environment = dict(os.environ)
    database = find(environment, "TEST_DATABASE_URL", "PostgreSQL", standard_databases(), try_database)
    redis = find(environment, "TEST_REDIS_URL", "Redis", ["redis://127.0.0.1:6379/0"], try_redis)
    environment["TEST_REDIS_URL"] = redis or "none"
    environment["TEST_CHROMIUM"] = find_chromium(environment) or "none"
    codes = []
    if database:
        print("\n== tests marked `database`, on PostgreSQL", flush=True)
        second = environment | {"PLUMBLINE_TEST_BACKEND": database}
        codes.append(pytest(["--only-database", *arguments], second))
    print("\n== all tests, on SQLite", flush=True)
    codes.append(pytest(arguments, environment))
    ran = [code for code in codes if code != NO_TESTS]
    return max(ran) if ran else NO_TESTS


def pytest(arguments: list[str], environment: dict[str, str]) -> int:
    return subprocess.run([sys.executable, "-m", "pytest", *arguments], env=environment).returncode


def find(environment: dict[str, str], name: str, title: str, standard: list[str], attempt) -> str | None:
    """The address in the variable `name`, else the first standard one that lets us in, else None, told."""
    named = environment.get(name)
    if named == "none":
        print(f"left out: {title} ({name}=none)")
        return None
    reasons = []
    for address in [named] if named else standard:
        reason = attempt(address)
        if reason is None:
            print(f"with: {title}")
            return address
        reasons.append(reason)
    print(f"left out: {title} ({reasons[-1]}; {name} names one)")
    return None


def standard_databases() -> list[str]:
    """The standard port as `postgres`, as the current user, and the local socket."""
    user = getpass.getuser()
    return [
        "postgres://postgres@127.0.0.1:5432/postgres",
        f"postgres://{user}@127.0.0.1:5432/postgres",
        f"postgres://{user}@/postgres?host=/var/run/postgresql",
    ]


def try_database(address: str) -> str | None:
    """None when signing in works and databases may be created, else the reason in one line."""
    import psycopg

    try:
        with psycopg.connect(address, connect_timeout=3) as connection:
            row = connection.execute("SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user")
            allowed = row.fetchone()
    except psycopg.Error as error:
        return str(error).strip().splitlines()[-1]
    return None if allowed and allowed[0] else "this user may not create databases"


def try_redis(address: str) -> str | None:
    import redis

    try:
        redis.Redis.from_url(address, socket_connect_timeout=2, socket_timeout=2).ping()
    except (redis.RedisError, OSError, ValueError) as error:
        return str(error).strip().splitlines()[-1]
    return None


def find_chromium(environment: dict[str, str]) -> str | None:
    named = environment.get("TEST_CHROMIUM")
    if named == "none":
        print("left out: pages in a browser (TEST_CHROMIUM=none)")
        return None
    found = named or next(filter(None, map(shutil.which, BROWSERS)), None)
    print("with: Chromium" if found else "left out: pages in a browser (no chromium; TEST_CHROMIUM names one)")
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
