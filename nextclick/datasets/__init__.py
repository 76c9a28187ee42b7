"""Public data sets, each format read by a module of its own and turned into our events and items.

`load` is the way in; `FORMATS` lists what the `--dataset` option takes.
"""

from nextclick.datasets.dataset import Dataset, Events, shift_to_now
from nextclick.datasets.errors import DatasetError
from nextclick.datasets.formats import FORMATS, Format, load

__all__ = ["FORMATS", "Dataset", "DatasetError", "Events", "Format", "load", "shift_to_now"]
