"""Turns SIGTERM and SIGINT into an event that loops look at between two batches."""

import threading

from runtime.signals import on_first_signal


def stop_on_signals() -> threading.Event:
    """An event that the first SIGTERM or SIGINT sets; the second one ends the process as usual.

    Only the main thread may call this.
    """
    stop = threading.Event()
    on_first_signal(stop.set)
    return stop
