"""`nextclick down`: stop what `up` or `demo` left running."""

from nextclick.output import doing, say


def run() -> None:
    """Stop everything that `nextclick up` or `nextclick demo` started in this checkout, and nothing else.

    Data stays; `make clean` removes it.

    Example: `nextclick down`
    """
    from nextclick.stack.lifecycle import down

    with doing("stopping"):
        stopped = down()
    say(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running")
