"""What can go wrong while answering. None of these knows gRPC: `interceptors.STATUS_BY_ERROR` maps them.

NextclickError
└── ServingError
    ├── GatewayStartError              the process cannot start: a port is taken, the model does not fit
    ├── InvalidRequestError            a field of the request is missing or out of bounds
    ├── OverloadedError                more calls in flight than allowed
    ├── FeatureStoreUnavailableError   the session could not be read in time     ┐
    └── ModelError                                                               │ answered with
        ├── ModelUnavailableError      Triton or the model cannot be reached     │ popular items
        ├── ModelDeadlineError         the model did not answer in the time left │
        └── ModelIncompatibleError     its dimensions or vocabulary do not fit   ┘
"""

from runtime.errors import NextclickError


class ServingError(NextclickError):
    """Root of the gateway's own errors."""


class GatewayStartError(ServingError):
    """The gateway cannot start; the text says what to change."""


class InvalidRequestError(ServingError):
    """The text begins with the name of the field that is wrong."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")


class OverloadedError(ServingError):
    """The gateway holds as many calls as it may."""


class FeatureStoreUnavailableError(ServingError):
    """The online store did not answer, or not in time."""


class ModelError(ServingError):
    """The model gave no answer that may be used."""


class ModelUnavailableError(ModelError):
    """Triton cannot be reached, does not serve the model, or failed while running it."""


class ModelDeadlineError(ModelError):
    """The time left for the model ran out."""


class ModelIncompatibleError(ModelError):
    """The served model was built for other dimensions, or its parts for different vocabularies."""
