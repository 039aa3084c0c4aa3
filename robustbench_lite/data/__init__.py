"""Data sets: labelled images with an id each, from folders, arrays and well-known sets."""
