"""Errors of the training stage; each text says what to do.

TrainingError
├── RecipeError    there is no recipe of that name
├── DataError      the archive or the catalogue cannot be trained on
├── RunError       a run folder is missing, unfinished or of another configuration
├── TeamError      processes that train together did not meet, or lost one
│   └── FirstProcessError   what the first process did alone failed; it says why
└── ExportError    a version could not be exported or loaded
"""

from runtime.errors import NextclickError


class TrainingError(NextclickError):
    """Root of what training raises."""


class RecipeError(TrainingError):
    """There is no recipe of that name."""


class DataError(TrainingError):
    """The archive or the catalogue cannot be trained on."""


class RunError(TrainingError):
    """A run folder is missing, unfinished or of another configuration."""


class TeamError(TrainingError):
    """Processes that train together did not meet, or lost one of them."""


class FirstProcessError(TeamError):
    """What the first process did alone failed; the message is its business."""


class ExportError(TrainingError):
    """A version could not be exported, or Triton did not take it."""
