"""Why an answer is degraded: the name on the wire has its enum's prefix, the one in metrics and on screens has none."""

from serving.proto import recommender_pb2 as pb
from serving.recommendation import DegradedReason

_PREFIX = "DEGRADED_REASON_"

WIRE_REASONS: dict[DegradedReason, pb.DegradedReason] = {
    reason: getattr(pb, _PREFIX + reason) for reason in DegradedReason
}
_NAMES: dict[int, str] = {wire: reason.value for reason, wire in WIRE_REASONS.items()}


def reason_name(wire_reason: int) -> str:
    """Its short name, e.g. `SESSION_MISSING`; empty where the answer is not degraded.

    A reason that a newer gateway sends and this client does not know is named by its number.
    """
    if not wire_reason:
        return ""
    return _NAMES.get(wire_reason, str(wire_reason))
