"""Lists are read by cursor: stable while rows arrive."""

from __future__ import annotations

from rest_framework.pagination import CursorPagination
from rest_framework.request import Request

from feedback.errors import BadInput


class NewestFirst(CursorPagination):
    """{"next", "previous", "results"}; `?page_size=` up to 1,000. Keys grow with time, so they order by age."""

    ordering = "-pk"
    page_size = 100
    max_page_size = 1000
    page_size_query_param = "page_size"

    def get_page_size(self, request: Request) -> int:
        """BadInput for anything but a whole number from 1 to 1,000: a page of another size would surprise."""
        asked = request.query_params.get("page_size")
        if asked is None:
            return self.page_size
        if not asked.isascii() or not asked.isdigit() or not 1 <= int(asked[:9]) <= self.max_page_size:
            raise BadInput(f"page_size: expected a whole number from 1 to {self.max_page_size}.", where="page_size")
        return int(asked)
