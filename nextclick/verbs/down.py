"""`nextclick down`: stop what `up` or `demo` left running."""

from nextclick.output import console


def run() -> None:
    """Stop everything that `nextclick up` or `nextclick demo` started in this checkout, and nothing else.

    Data stays; `make clean` removes it.

    Example: `nextclick down`
    """
    from nextclick.stack.lifecycle import down

    with console.status("stopping"):
        stopped = down()
    console.print(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running", highlight=False)
