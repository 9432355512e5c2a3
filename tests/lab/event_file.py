"""Event files (JSON lines) that are read while somebody still writes them"""
import json


def read_event_file(path):
    """The events of which the whole line is there, first to last; none if there is no such file (yet).

    The file is read at once: to go on by lines after the half of one is to take its other half for a line of its own."""
    try:
        with open(path, encoding="utf-8") as file:
            whole = file.read().rpartition("\n")[0]
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in whole.split("\n")] if whole else []
