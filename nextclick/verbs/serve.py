"""`nextclick serve`: the gRPC gateway."""

import typer


def run(
    port: int | None = typer.Option(
        None, min=0, max=65535, help="gRPC port; 0 takes a free one. [default: GATEWAY_PORT or 50051]"
    ),
    metrics_port: int | None = typer.Option(
        None, min=0, max=65535, help="Port of the Prometheus metrics. [default: GATEWAY_METRICS_PORT or 9464]"
    ),
) -> None:
    """Answer `nextclick.serving.v1.Recommender/Recommend` until SIGTERM or Ctrl-C.

    Calls in flight are finished first; a second signal ends it at once.

    Example: `nextclick serve --port 50051`
    """
    from nextclick.stack.addresses import REDIS, TRITON, apply_to_environment

    apply_to_environment(require=(REDIS, TRITON))
    from serving.server import serve
    from serving.settings import ServingSettings

    given = {"gateway_port": port, "gateway_metrics_port": metrics_port}
    serve(ServingSettings().model_copy(update={name: value for name, value in given.items() if value is not None}))
