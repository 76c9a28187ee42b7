"""`nextclick recommend`: ask a running gateway, as an app would."""

import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from nextclick.output import JsonOption, print_table, say, write_json
from runtime.errors import NextclickError

if TYPE_CHECKING:
    from serving.proto.recommender_pb2 import RecommendRequest, RecommendResponse

_MAX_INT32 = 2**31 - 1
"""The most that a request can carry; what is too much besides, the gateway says."""


def run(
    session_id: str = typer.Option(..., "--session-id", "-s", help="The visit to recommend for."),
    user_id: str = typer.Option("", "--user-id", "-u", help="The visitor, when known."),
    event: list[str] = typer.Option(
        [], "--event", "-e", metavar="[TYPE:]ITEM", help="Something just done; repeatable, oldest first."
    ),
    page_size: int = typer.Option(10, "--page-size", "-n", min=0, max=_MAX_INT32, help="Items wanted."),
    include_seen: bool = typer.Option(False, help="Also answer items that the session has had."),
    gateway: str = typer.Option("", envvar="GATEWAY_ADDRESS", help="host:port. [default: the running stack's]"),
    tls: bool = typer.Option(False, help="Call over TLS, trusting whom the system trusts."),
    ca_file: Path | None = typer.Option(
        None, envvar="GATEWAY_CA_FILE", exists=True, dir_okay=False, help="Call over TLS, trusting this file (PEM)."
    ),
    timeout: float = typer.Option(5.0, min=0, help="Deadline of the call in seconds."),
    json_file: JsonOption = None,
) -> None:
    """Call `Recommend` and print the ordered items.

    Examples:

    - `nextclick recommend --session-id visit-1 --event view:50 --event favourite:181`

    - `nextclick recommend --session-id visit-1 --gateway shop.example.com:443 --tls`
    """
    request = _request(session_id, user_id, event, page_size, include_seen)
    response = _call(gateway or _find_gateway(), request, timeout, tls or ca_file is not None, ca_file)
    if json_file is not None:
        from google.protobuf.json_format import MessageToDict

        write_json(json_file, MessageToDict(response, preserving_proto_field_name=True))
    _print(response)


def _request(
    session_id: str, user_id: str, events: list[str], page_size: int, include_seen: bool
) -> "RecommendRequest":
    from feature_repo.fields import now_ms
    from serving.proto.recommender_pb2 import RecentEvent, RecommendRequest

    clock_ms = now_ms()
    recent = []
    for age, text in enumerate(reversed(events)):
        event_type, _, item_id = text.rpartition(":")
        recent.append(
            RecentEvent(
                event_id=str(uuid.uuid4()),
                event_type=event_type or "view",
                item_id=item_id,
                timestamp_ms=clock_ms - 1000 * age,
            )
        )
    return RecommendRequest(
        session_id=session_id,
        user_id=user_id,
        recent_events=recent[::-1],
        page_size=page_size,
        exclude_seen=not include_seen,
    )


def _call(
    address: str, request: "RecommendRequest", timeout: float, tls: bool, ca_file: Path | None
) -> "RecommendResponse":
    import grpc

    from serving.proto.recommender_pb2_grpc import RecommenderStub

    if tls:
        authorities = ca_file.read_bytes() if ca_file else None
        opened = grpc.secure_channel(address, grpc.ssl_channel_credentials(authorities))
    else:
        opened = grpc.insecure_channel(address)
    with opened as channel:
        try:
            return RecommenderStub(channel).Recommend(request, timeout=timeout)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                secured = " over TLS" if tls else ""
                hint = "start one with `nextclick serve`, or name another with --gateway"
                hint += " (is its port without TLS, or --ca-file another's?)" if tls else " (or is it one for --tls?)"
                raise NextclickError(f"no gateway answers at {address}{secured}: {hint}") from error
            raise NextclickError(f"gateway {address}: {error.code().name}: {error.details()}") from error


def _find_gateway() -> str:
    from nextclick.stack.addresses import running_variables
    from nextclick.stack.settings import StackSettings

    return running_variables(StackSettings().nextclick_home).get("GATEWAY_ADDRESS", "127.0.0.1:50051")


def _print(response: "RecommendResponse") -> None:
    from serving.rpc.degraded_reasons import reason_name

    print_table(
        ("#", "item", "score"), [(str(item.position), item.item_id, f"{item.score:.3f}") for item in response.items]
    )
    who = f"{response.model_name} version {response.model_version}" if response.model_version else response.model_name
    degraded = f", degraded: {reason_name(response.degraded_reason)}" if response.degraded_reason else ""
    say(f"by {who} from {response.session_length} events{degraded}")
