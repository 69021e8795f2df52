"""Where the nodes of a lineage stand in its picture: a column a type, causes on the left."""

from __future__ import annotations

from typing import Any

from .. import lineage

COLUMNS = ("judgment", "dataset", "run", "reward_model", "policy", "decision", "deployment")
WIDTH, HEIGHT, GAP_X, GAP_Y = 168, 46, 48, 16


def draw(graph: lineage.Graph, start: lineage.Node) -> dict[str, Any]:
    """{"width", "height", "boxes", "lines"} of an SVG; columns go by the longest way from a cause."""
    depth = _depths(graph)
    columns: dict[int, list[lineage.Node]] = {}
    for node in graph.nodes:
        columns.setdefault(depth[node], []).append(node)
    at = {
        node: (x * (WIDTH + GAP_X), y * (HEIGHT + GAP_Y))
        for x, nodes in columns.items()
        for y, node in enumerate(sorted(nodes, key=lambda n: (COLUMNS.index(n.type), n.id)))
    }
    boxes = [_box(node, at[node], node == start, graph.more.get(node, 0)) for node in graph.nodes]
    lines = [
        {"x1": at[a][0] + WIDTH, "y1": at[a][1] + HEIGHT / 2, "x2": at[b][0], "y2": at[b][1] + HEIGHT / 2,
         "xm": (at[a][0] + WIDTH + at[b][0]) / 2}
        for a, b in graph.edges
    ]  # fmt: skip
    tallest = max(len(nodes) for nodes in columns.values())
    width = (max(columns) + 1) * (WIDTH + GAP_X) - GAP_X
    return {"width": width, "height": tallest * (HEIGHT + GAP_Y), "boxes": boxes, "lines": lines}


def _depths(graph: lineage.Graph) -> dict[lineage.Node, int]:
    depth = dict.fromkeys(graph.nodes, 0)
    for _ in graph.nodes:  # at most so many passes; a circle, which there should not be, ends it too
        moved = False
        for a, b in graph.edges:
            if depth[b] < depth[a] + 1 <= len(graph.nodes):
                depth[b] = depth[a] + 1
                moved = True
        if not moved:
            break
    return depth


def _box(node: lineage.Node, at: tuple[int, int], here: bool, more: int) -> dict[str, Any]:
    about = lineage.describe(node)
    name = about["name"] if len(about["name"]) <= 22 else about["name"][:21] + "…"
    out = about.get("withdrawn") or about.get("withdrawn_judgments")
    return {
        "x": at[0], "y": at[1], "type": node.type.replace("_", " "), "name": name, "here": here, "withdrawn": bool(out),
        "more": more, "id": node.id, "link": node.type,
    }  # fmt: skip
