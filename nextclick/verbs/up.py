"""`nextclick up`: start the local stack and leave it running."""

import typer

from nextclick.output import doing, say, write_for_programs


def run(
    print_env: bool = typer.Option(False, "--print-env", help="Print the addresses as lines for a shell to evaluate."),
    only: str = typer.Option("", metavar="PARTS", help="Start only these of kafka, redis, triton (comma-separated)."),
) -> None:
    """Start Kafka, Redis and Triton on this machine, whichever of them the environment names no address of.

    Data lies in NEXTCLICK_HOME (default `.nextclick`) and survives `nextclick down`.

    Example: `nextclick up && eval "$(nextclick up --print-env)"`
    """
    from nextclick.stack.definitions import definitions_applied
    from nextclick.stack.lifecycle import print_env as environment
    from nextclick.stack.lifecycle import status, up

    parts = [part.strip() for part in only.split(",") if part.strip()] or None
    if print_env:
        with definitions_applied(), up(parts) as stack:
            stack.keep()
        write_for_programs("\n".join(environment(stack.addresses)) + "\n")
        return
    with (
        doing("starting the stack") as note,
        definitions_applied(),
        up(parts, progress=lambda part, step: note(f"{part}: {step}")) as stack,
    ):
        stack.keep()
    from nextclick.verbs.status import print_status

    print_status(status())
    say("Stop it with `nextclick down`.")
