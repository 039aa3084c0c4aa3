"""Views of runs for people and programs: one output, one file. Nothing here needs torch or the network."""
