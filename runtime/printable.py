"""Data of strangers as text that a terminal only shows: no control characters, no change of direction, no new line."""


def printable(text: str) -> str:
    """The text on one line; what a terminal would act on is written as an escape such as `\\x1b`."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def printable_lines(text: str) -> str:
    """The same line by line, for text that has several on purpose, such as another program's output."""
    return "\n".join(printable(line.expandtabs()) for line in text.replace("\r\n", "\n").split("\n"))
