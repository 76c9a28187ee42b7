"""How much time a call gets: its caller's deadline, within limits."""

import time

import grpc
import pytest

from serving.proto import recommender_pb2 as pb
from serving.proto.recommender_pb2_grpc import RecommenderStub, add_RecommenderServicer_to_server
from serving.recommendation import Recommendation, RecommendationRequest
from serving.recommender import Recommender
from serving.rpc.service import RecommenderService


class Timed(Recommender):
    """Answers nothing and notes the time it was given, in seconds."""

    def __init__(self) -> None:
        self.given = 0.0

    async def recommend(self, request: RecommendationRequest, deadline: float) -> Recommendation:
        self.given = deadline - time.monotonic()
        return Recommendation([], "none", "", None)


@pytest.mark.parametrize(
    ("asked", "at_least", "at_most"),
    [(None, 50, 100), (60.0, 10, 60), (3600.0, 150, 200)],
    ids=["default", "the caller's", "capped"],
)
async def test_the_callers_deadline_counts_within_limits(asked: float | None, at_least: float, at_most: float) -> None:
    recommender = Timed()
    server = grpc.aio.server()
    add_RecommenderServicer_to_server(RecommenderService(recommender, default_timeout=100, max_timeout=200), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        await RecommenderStub(channel).Recommend(pb.RecommendRequest(session_id="s"), timeout=asked)
    await server.stop(None)
    # gRPC rounds a deadline to its own clock, up to some tenths of a second.
    assert at_least < recommender.given <= at_most + 1
