"""What a person says about a file's columns: `--map ours=theirs`, `--annotator-field F`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from feedback.errors import BadInput

OURS = ("prompt", "input", "system", "a", "b", "choice", "chosen", "rejected", "votes", "probability")


@dataclass(frozen=True)
class Options:
    """`names`: our name -> theirs; `choice` may name several columns, one an annotator."""

    names: dict[str, str] = field(default_factory=dict)
    annotator_field: str = ""

    @classmethod
    def parse(cls, pairs: list[str], annotator_field: str = "") -> Options:
        """From ["a=response1", "choice=ann1,ann2"]. Raises BadInput for an unknown name of ours."""
        names = {}
        for text in pairs:
            ours, sign, theirs = text.partition("=")
            if not sign or ours not in OURS or not theirs:
                raise BadInput(f"--map {text}: expected one of {', '.join(OURS)}, =, and a column.", where="map")
            names[ours] = theirs
        return cls(names, annotator_field)

    def renamed(self, row: dict[str, Any]) -> dict[str, Any]:
        """The row with our names beside theirs."""
        return row | {ours: row.get(theirs) for ours, theirs in self.names.items() if "," not in theirs}

    def column(self, ours: str, *usual: str) -> str:
        return self.names.get(ours) or (usual[0] if usual else ours)

    def annotator(self, row: dict[str, Any]) -> str:
        value = row.get(self.annotator_field) if self.annotator_field else ""
        return "" if value is None else str(value)[:150]
