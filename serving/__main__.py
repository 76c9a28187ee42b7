"""`python -m serving`: the gateway with its settings from the environment, as the container runs it."""

from runtime.program import run


def main() -> None:
    """Serve until told to stop. Raises what `serve` raises when the gateway cannot start."""
    from runtime.logs import set_up_logs
    from serving.server import serve
    from serving.settings import ServingSettings

    settings = ServingSettings()
    set_up_logs(settings)
    serve(settings)


if __name__ == "__main__":
    run(main)
