from .content import GATE_USES, ROLES, SPLITS, Policy, Prompt, Response, Sketch, User
from .events import Event
from .interactions import Interaction, Reaction
from .judgments import OUTCOMES, Comparison, Judgment, Preference
from .oversight import Calibration, Comment, FlagCase, GuidelinesVersion, Invitation, Review
from .queues import (
    ARMS,
    PURPOSES,
    SELECTIONS,
    SKIP_POLICIES,
    Assignment,
    ImportBatch,
    Item,
    ItemResponse,
    Membership,
    Queue,
    Seat,
)

__all__ = [
    "ARMS",
    "SELECTIONS",
    "GATE_USES",
    "OUTCOMES",
    "ROLES",
    "SPLITS",
    "PURPOSES",
    "SKIP_POLICIES",
    "Assignment",
    "Calibration",
    "Comment",
    "Comparison",
    "Event",
    "FlagCase",
    "GuidelinesVersion",
    "ImportBatch",
    "Interaction",
    "Invitation",
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
    "Review",
    "Seat",
    "Sketch",
    "User",
]
