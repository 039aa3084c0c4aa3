"""The command line: argument parsing and printing, nothing else. ``app.py`` has the list of commands."""
