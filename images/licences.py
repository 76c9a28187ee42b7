"""What is in an image beside Nextclick, and under which licence, from the metadata of the packages that are installed.

`python images/licences.py` prints a line for each: name, version, licence, where its text lies; parted by tabs.
"""

from collections.abc import Iterator
from importlib.metadata import Distribution, distributions

NOT_STATED = "not stated"
_LONGEST = 80
"""Some packages put the whole text where its name belongs."""


def licence_of(package: Distribution) -> str:
    """As the package states it: an SPDX expression if it has one, else its own words, else those of its classifiers."""
    metadata = package.metadata
    own_words = (metadata.get("License") or "").strip()
    if expression := metadata.get("License-Expression"):
        return str(expression)
    if own_words and own_words != "UNKNOWN" and "\n" not in own_words and len(own_words) <= _LONGEST:
        return own_words
    classifiers = [each.rpartition(" :: ")[2] for each in metadata.get_all("Classifier", []) if "License ::" in each]
    return ", ".join(classifiers) or NOT_STATED


def texts_of(package: Distribution) -> list[str]:
    """Files of the package that hold a licence, from the folder that packages are installed in."""
    files = [str(file) for file in package.files or []]
    names = ("LICEN", "COPYING", "NOTICE", "EULA")
    return sorted(file for file in files if ".dist-info/" in file and any(name in file.upper() for name in names))


def lines() -> Iterator[str]:
    """One for each installed package, by name."""
    for package in sorted(distributions(), key=lambda each: each.name.lower()):
        yield "\t".join((package.name, package.version, licence_of(package), " ".join(texts_of(package))))


if __name__ == "__main__":
    print("\n".join(lines()))
