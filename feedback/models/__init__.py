from .content import GATE_USES, ROLES, SPLITS, Policy, Prompt, Response, User
from .events import Event
from .judgments import OUTCOMES, Comparison, Judgment, Preference
from .queues import ARMS, SELECTIONS, Assignment, ImportBatch, Item, ItemResponse, Membership, Queue, Seat

__all__ = [
    "ARMS",
    "SELECTIONS",
    "GATE_USES",
    "OUTCOMES",
    "ROLES",
    "SPLITS",
    "Assignment",
    "Comparison",
    "Event",
    "ImportBatch",
    "Item",
    "ItemResponse",
    "Judgment",
    "Membership",
    "Policy",
    "Preference",
    "Prompt",
    "Queue",
    "Response",
    "Seat",
    "User",
]
