"""The review of SQL: a reviewer in child processes, the rules of stored connections."""

from __future__ import annotations

from corral.server.application.review.room import SqlReview
from corral.server.application.review.stored import StoredReviewConnections
from corral.server.compose.ground import Ground
from corral.server.infrastructure.review.reviewer import ChildReviewer
from corral.server.infrastructure.sql.connections import SqlConnectionStore


def compose_review(ground: Ground) -> SqlReview:
    """One for all who need it: submissions and the question share what was judged already."""
    return SqlReview(reviewer=ChildReviewer(), connections=StoredReviewConnections(SqlConnectionStore(ground.db)))
