"""Lists are read by cursor: stable while rows arrive."""

from __future__ import annotations

from rest_framework.pagination import CursorPagination


class NewestFirst(CursorPagination):
    """{"next", "previous", "results"}; `?page_size=` up to 1,000. Keys grow with time, so they order by age."""

    ordering = "-pk"
    page_size = 100
    max_page_size = 1000
    page_size_query_param = "page_size"
