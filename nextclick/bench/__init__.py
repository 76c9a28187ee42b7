"""`nextclick bench`: the platform's figures, each measured beside the floor that it is held against."""
