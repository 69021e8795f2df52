"""The settings of the tests: a home of their own, a file database, no manifest, a broker in memory."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

os.environ["PLUMBLINE_HOME"] = tempfile.mkdtemp(prefix="plumbline-test-")
for name in ("REDIS_URL", "DEBUG", "PORT", "PLUMBLINE_HTTPS", "PLUMBLINE_DEMO", "SECRET_KEY"):
    os.environ.pop(name, None)
# bin/test names a PostgreSQL server for its second pass; TEST_DATABASE_URL alone does not switch the suite.
os.environ["DATABASE_URL"] = os.environ.get("PLUMBLINE_TEST_BACKEND", "")

from config.settings import *

atexit.register(shutil.rmtree, os.environ["PLUMBLINE_HOME"], ignore_errors=True)

_database = DATABASES["default"]
# A file, since threads and child processes of race tests must see it; a name of this process's own.
_database["TEST"] = {
    "NAME": str(PLUMBLINE_HOME / "test.sqlite3")
    if _database["ENGINE"].endswith("sqlite3")
    else f"test_{Path(_database['NAME']).name}_{os.getpid()}"
}
STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
AXES_ENABLED = False  # `client.login` has no request; the tests of sign-in switch it on
CELERY_BROKER_URL = "memory://"
PLUMBLINE_KEY_PREFIX = f"plumbline-test-{os.getpid()}"
ALLOWED_HOSTS = ["*"]
