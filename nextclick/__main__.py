"""`python -m nextclick`, the same as the console script."""

from nextclick.cli import app

if __name__ == "__main__":
    app()
