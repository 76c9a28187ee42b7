"""The gRPC handler: translates, sets the time limit, and leaves the decision to the recommender."""

import time

import grpc

from serving.proto import recommender_pb2 as pb
from serving.proto.recommender_pb2_grpc import RecommenderServicer
from serving.recommender import Recommender
from serving.rpc.translation import parse_request, to_message

SERVICE_NAME: str = pb.DESCRIPTOR.services_by_name["Recommender"].full_name


class RecommenderService(RecommenderServicer):
    """`default_timeout` is for callers without a deadline, `max_timeout` caps all; both in seconds."""

    def __init__(self, recommender: Recommender, default_timeout: float, max_timeout: float) -> None:
        self._recommender = recommender
        self._default_timeout = min(default_timeout, max_timeout)
        self._max_timeout = max_timeout

    async def Recommend(self, request: pb.RecommendRequest, context: grpc.aio.ServicerContext) -> pb.RecommendResponse:
        deadline = time.monotonic() + self._time_for(context.time_remaining())
        return to_message(await self._recommender.recommend(parse_request(request), deadline))

    def _time_for(self, remaining: float | None) -> float:
        return self._default_timeout if remaining is None else min(remaining, self._max_timeout)
