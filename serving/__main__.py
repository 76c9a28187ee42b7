"""`python -m serving`: the gateway with its settings from the environment, as the container runs it."""

import sys

from runtime.exit_status import exit_status
from runtime.logs import set_up_logs
from serving.server import serve
from serving.settings import ServingSettings


def main() -> None:
    """Serve until told to stop. Raises what `serve` raises when the gateway cannot start."""
    settings = ServingSettings()
    set_up_logs(settings)
    serve(settings)


if __name__ == "__main__":
    sys.exit(exit_status(main))
