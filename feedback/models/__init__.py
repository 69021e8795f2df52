from .content import GATE_USES, ROLES, SPLITS, Policy, Prompt, Response, User
from .events import Event
from .interactions import Interaction, Reaction
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
    "Interaction",
    "Item",
    "ItemResponse",
    "Judgment",
    "Membership",
    "Policy",
    "Preference",
    "Prompt",
    "Queue",
    "Reaction",
    "Response",
    "Seat",
    "User",
]
