"""Plumbline's settings, all from the environment (docs/operations.md lists them)."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from csp.constants import NONE, SELF, UNSAFE_EVAL, UNSAFE_INLINE

from config import env as read

BASE_DIR = Path(__file__).resolve().parent.parent

# --- Plumbline's own -----------------------------------------------------------------------------------
PLUMBLINE_HOME = read.read_home(os.environ, BASE_DIR / "var")
PLUMBLINE_ARTIFACTS = Path(os.environ.get("PLUMBLINE_ARTIFACTS") or PLUMBLINE_HOME / "artifacts")
PLUMBLINE_LAUNCHER = read.read_launcher(os.environ, "PLUMBLINE_LAUNCHER", "{python} -m rlhf.engine {run_dir}")
PLUMBLINE_RUNS_PER_MACHINE = read.read_int(os.environ, "PLUMBLINE_RUNS_PER_MACHINE", 1, 1, 1000)
PLUMBLINE_ENGINE_IDLE_SECONDS = read.read_int(os.environ, "PLUMBLINE_ENGINE_IDLE_SECONDS", 600, 10, 10**7)
PLUMBLINE_ENGINES_PER_MACHINE = read.read_int(os.environ, "PLUMBLINE_ENGINES_PER_MACHINE", 2, 1, 1000)
PLUMBLINE_PRICE_PER_HOUR = read.read_float(os.environ, "PLUMBLINE_PRICE_PER_HOUR", 0.0, 0.0, 1e6)
PLUMBLINE_RUN_MEMORY_MB = read.read_int(os.environ, "PLUMBLINE_RUN_MEMORY_MB", 0, 0, 2**30)
PLUMBLINE_MIN_FREE_MB = read.read_int(os.environ, "PLUMBLINE_MIN_FREE_MB", 200, 0, 2**30)
PLUMBLINE_BASES = read.read_bases(os.environ, "PLUMBLINE_BASES")
PLUMBLINE_EVALUATORS = read.read_evaluators(os.environ, "PLUMBLINE_EVALUATORS")
PLUMBLINE_EXTERNAL_ROOTS = read.read_list(os.environ, "PLUMBLINE_EXTERNAL_ROOTS", "")
PLUMBLINE_DEMO = read.read_bool(os.environ, "PLUMBLINE_DEMO", False)
PLUMBLINE_DEV_SHARE = read.read_float(os.environ, "PLUMBLINE_DEV_SHARE", 0.05, 0.0, 0.5)
PLUMBLINE_GATE_SHARE = read.read_float(os.environ, "PLUMBLINE_GATE_SHARE", 0.10, 0.0, 0.5)
PLUMBLINE_CONSENT_VERSION = os.environ.get("PLUMBLINE_CONSENT_VERSION", "1")[:20]  # of the terms people join under
PLUMBLINE_HTTPS = read.read_bool(os.environ, "PLUMBLINE_HTTPS", False)
PLUMBLINE_KEY_PREFIX = os.environ.get("PLUMBLINE_KEY_PREFIX", "plumbline")
PLUMBLINE_FEEDBACK_DAYS = read.read_int(os.environ, "PLUMBLINE_FEEDBACK_DAYS", 30, 1, 3650)
PLUMBLINE_RETENTION_DAYS = read.read_int(os.environ, "PLUMBLINE_RETENTION_DAYS", 0, 0, 36500)
PLUMBLINE_WEBHOOKS_PRIVATE = read.read_bool(os.environ, "PLUMBLINE_WEBHOOKS_PRIVATE", False)
PORT = read.read_int(os.environ, "PORT", 8000, 1, 65535)
PLUMBLINE_URL = os.environ.get("PLUMBLINE_URL") or f"http://127.0.0.1:{PORT}"

# --- Django --------------------------------------------------------------------------------------------
DEBUG = read.read_bool(os.environ, "DEBUG", False)
SECRET_KEY = read.read_secret_key(os.environ, PLUMBLINE_HOME)
ALLOWED_HOSTS = read.read_list(os.environ, "ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = read.read_list(os.environ, "CSRF_TRUSTED_ORIGINS", "")
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
AUTH_USER_MODEL = "feedback.User"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True

INSTALLED_APPS = [
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_filters",
    "django_htmx",
    "csp",
    "axes",
    "django_prometheus",
    "feedback",
    "rlhf",
    "api",
    "config",
]

MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "config.middleware.LooserPolicyForTools",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "axes.middleware.AxesMiddleware",
    "feedback.middleware.ErrorPages",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]

# --- Where things are kept -----------------------------------------------------------------------------
DATABASES = {
    "default": read.read_database(
        os.environ,
        "DATABASE_URL",
        f"sqlite:///{PLUMBLINE_HOME / 'plumbline.sqlite3'}",
        pool_size=read.read_int(os.environ, "PLUMBLINE_DB_POOL", 20, 0, 1000),
    )
}
# Off behind a pooler that gives each transaction another connection (PgBouncer's transaction mode).
PLUMBLINE_DB_PREPARE = read.read_bool(os.environ, "PLUMBLINE_DB_PREPARE", True)
# None: nobody named a Redis and `bin/up` runs none; judging goes on, waking workers does not.
REDIS_URL = read.read_redis(os.environ, "REDIS_URL", PLUMBLINE_HOME)
CACHES: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": "config.cache.TolerantRedisCache",
        "LOCATION": read.cache_url(REDIS_URL),
        "KEY_PREFIX": PLUMBLINE_KEY_PREFIX,
        "OPTIONS": {"socket_connect_timeout": 0.5, "socket_timeout": 1.0},
    }
    if REDIS_URL
    else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
}
SESSION_ENGINE = "django.contrib.sessions.backends.db"  # signing in must not need Redis
CELERY_BROKER_URL = read.broker_url(REDIS_URL or f"redis+socket://{PLUMBLINE_HOME / 'run' / 'redis.sock'}")

STATIC_URL = "/static/"
STATIC_ROOT = PLUMBLINE_HOME / "staticfiles"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}
DATA_UPLOAD_MAX_MEMORY_SIZE = read.read_int(os.environ, "PLUMBLINE_MAX_BODY", 20 * 2**20, 2**16, 2**31)
FILE_UPLOAD_MAX_MEMORY_SIZE = 5 * 2**20
DATA_UPLOAD_MAX_NUMBER_FIELDS = 2000

# --- Who may come in -----------------------------------------------------------------------------------
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "feedback:sign-in"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/"
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_VERBOSE = False

SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PLUMBLINE_HTTPS
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
if PLUMBLINE_HTTPS:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_SSL_REDIRECT = True
    SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]  # asked by probes, over plain HTTP
    SECURE_HSTS_SECONDS = 365 * 24 * 3600
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True

CONTENT_SECURITY_POLICY: dict[str, Any] = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}
# The admin's Alpine and the API's documentation pages need more; nothing else gets it.
LOOSER_POLICIES: dict[str, dict[str, list[str]]] = {
    "/admin/": {"script-src": [SELF, UNSAFE_EVAL, UNSAFE_INLINE], "style-src": [SELF, UNSAFE_INLINE]},
    "/api/docs/": {"script-src": [SELF, UNSAFE_INLINE], "style-src": [SELF, UNSAFE_INLINE]},
}

# --- The API -------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "api.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "EXCEPTION_HANDLER": "api.errors.exception_handler",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Plumbline",
    "DESCRIPTION": "From people's judgements to a better model, and back.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": r"/api/v1",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "api.schema.document_errors",
    ],
    "ENUM_NAME_OVERRIDES": {
        "MessageRole": "feedback.clean_text.ROLES",
        "MemberRole": "feedback.models.Membership.ROLES",
        "QueueKind": "feedback.models.Queue.KINDS",
        "PolicyKind": "feedback.models.Policy.KINDS",
        "MemberKind": "feedback.models.Membership.KINDS",
    },
}

# --- Seeing what happens -------------------------------------------------------------------------------
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": os.environ.get("LOG_LEVEL", "INFO").upper()},
    "loggers": {
        "axes": {"level": "WARNING"},
        "httpx": {"level": "WARNING"},
        "celery.app.trace": {"level": "WARNING"},  # four sweeps every 5 seconds
        "celery.worker.strategy": {"level": "WARNING"},
        "celery.beat": {"level": "WARNING"},
    },
}
PROMETHEUS_EXPORT_MIGRATIONS = False
UNFOLD = {"SITE_TITLE": "Plumbline", "SITE_HEADER": "Plumbline"}
