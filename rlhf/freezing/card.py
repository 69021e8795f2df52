"""README.md of a dataset: what it is, what went in and out, and what to know before training on it."""

from __future__ import annotations

from typing import Any

HEAD = """---
license: other
task_categories: [reinforcement-learning]
tags: [preference, rlhf, plumbline]
---
# {name}

Pairs of answers with people's preferences, frozen by Plumbline. Digest `{digest}`.

| table | rows |
|---|---|
{rows}

Made from {judgments} judgments by {people} people in {queues}. {agreement}

## Recipe
{recipe}

## What was left out
{funnel}

## Licence and consent
The texts are as licensed by whoever brought them in; Plumbline adds no licence. People's names are not in the files.

## Known limits
- `probability` is what these people said under these guidelines, not what everybody would say.
- {simulated}
- Near-duplicate prompts are found by letters (MinHash), not by meaning: a thorough paraphrase is not caught.
"""


def card(manifest: dict[str, Any], people: int, agreement: float | None) -> str:
    counts = manifest["counts"]
    simulated = counts["simulated_judgments"]
    return HEAD.format(
        name=" + ".join(manifest["queues"]),
        digest=manifest["digest"],
        rows="\n".join(f"| {name} | {n} |" for name, n in counts["rows"].items()),
        judgments=manifest["judgments"],
        people=people,
        queues=", ".join(manifest["queues"]),
        agreement="Nobody judged the same pair twice, so agreement is not known."
        if agreement is None
        else f"Two people who judged the same pair gave the same verdict in {agreement:.0%} of cases.",
        recipe="\n".join(f"- `{k}`: {v}" for k, v in manifest["recipe"].items()) or "Every field at its default.",
        funnel="\n".join(f"- {reason}: {n}" for reason, n in counts["funnel"].items() if "out: " in reason)
        or "Nothing.",
        simulated=f"{simulated} judgments are by simulated people." if simulated else "No simulated judgments.",
    )
