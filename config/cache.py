"""Redis as a cache that may be absent: a failure is a miss, logged, never raised."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.core.cache.backends.redis import RedisCache
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)


def _tolerant(name: str, answer: Callable[..., Any]) -> Callable[..., Any]:
    method = getattr(RedisCache, name)

    @wraps(method)
    def call(self: RedisCache, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *args, **kwargs)
        except (RedisError, OSError) as error:
            logger.warning("cache %s failed: %s", name, error)
            return answer(*args, **kwargs)

    return call


def _default(key: Any = None, default: Any = None, *args: Any, **kwargs: Any) -> Any:
    return default


class TolerantRedisCache(RedisCache):
    """`get` misses, `add` answers True (nobody can know better), writes are dropped."""

    get = _tolerant("get", _default)
    add = _tolerant("add", lambda *a, **k: True)
    set = _tolerant("set", lambda *a, **k: None)
    touch = _tolerant("touch", lambda *a, **k: False)
    delete = _tolerant("delete", lambda *a, **k: False)
    has_key = _tolerant("has_key", lambda *a, **k: False)
    get_many = _tolerant("get_many", lambda *a, **k: {})
    set_many = _tolerant("set_many", lambda *a, **k: [])
    delete_many = _tolerant("delete_many", lambda *a, **k: None)
    # A counter starts anew: throttles then let people through rather than stop them.
    incr = _tolerant("incr", lambda key, delta=1, version=None: delta)
