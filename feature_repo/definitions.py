"""Every Feast object of the project, and nothing else; `feast apply` reads this file only."""

from collections.abc import Mapping

from feature_repo import views
from feature_repo.schema import FEATURE_SERVICE
from feature_repo.settings import SharedSettings
from feature_repo.views import FeatureType
from runtime.environment import environment_kept

with environment_kept():
    from feast import Entity, FeatureService, FeatureView, Field, FileSource, PushSource, ValueType
    from feast.types import Array, Bool, FeastType, Float64, Int64, String

_TYPES: Mapping[FeatureType, FeastType] = {
    FeatureType.STRING: String,
    FeatureType.INT64: Int64,
    FeatureType.DOUBLE: Float64,
    FeatureType.BOOL: Bool,
    FeatureType.STRING_LIST: Array(String),
    FeatureType.INT64_LIST: Array(Int64),
    FeatureType.DOUBLE_LIST: Array(Float64),
}


def _fields(view: views.View) -> list[Field]:
    return [Field(name=name, dtype=_TYPES[kind]) for name, kind in view.features.items()]


session = Entity(name="session", join_keys=["session_id"], value_type=ValueType.STRING, description="One visit.")
user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING, description="A person, once known.")
item = Entity(name="item", join_keys=["item_id"], value_type=ValueType.STRING, description="It can be recommended.")
scope = Entity(
    name="scope",
    join_keys=["scope"],
    value_type=ValueType.STRING,
    description="Part of the catalogue and shard: all/0.",
)

# The archive holds single events, and training folds them itself; Feast asks every push source for a batch source.
event_archive = FileSource(
    name="event_archive",
    path=str(SharedSettings().archive_path),
    timestamp_field="event_timestamp",
    description="Parquet files by event date, one row an event, appended to by streaming.",
)
session_push = PushSource(name="session_push", batch_source=event_archive)
history_push = PushSource(name="history_push", batch_source=event_archive)

session_events = FeatureView(
    name=views.SESSION_EVENTS.name,
    entities=[session],
    ttl=views.SESSION_EVENTS.ttl,
    schema=_fields(views.SESSION_EVENTS),
    source=session_push,
    description="The newest events of a session in event-time order, folded by streaming.",
)
user_history = FeatureView(
    name=views.USER_HISTORY.name,
    entities=[user],
    ttl=views.USER_HISTORY.ttl,
    schema=_fields(views.USER_HISTORY),
    source=history_push,
    description="The newest events of a user over sessions and devices, folded by streaming.",
)
item_profile = FeatureView(
    name=views.ITEM_PROFILE.name,
    entities=[item],
    ttl=views.ITEM_PROFILE.ttl,
    schema=_fields(views.ITEM_PROFILE),
    description="Catalogue features of an item.",
)
popular_items = FeatureView(
    name=views.POPULAR_ITEMS.name,
    entities=[scope],
    ttl=views.POPULAR_ITEMS.ttl,
    schema=_fields(views.POPULAR_ITEMS),
    description="Time-decayed popularity, overall and by category, one row a partition: the reader adds them up.",
)

recommendation = FeatureService(
    name=FEATURE_SERVICE, features=[session_events, user_history, item_profile, popular_items]
)
