"""The console script `nextclick`, and `python -m nextclick`: both begin here, before anything large is imported."""

import os

from runtime.program import run


def main() -> None:
    """Run the command line and end the process."""
    # Before torch is imported: its threads, when idle, must not spin against the servers on the same cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    run(_work)


def _work() -> int:
    from nextclick.cli import run_verb

    return run_verb()


if __name__ == "__main__":
    main()
