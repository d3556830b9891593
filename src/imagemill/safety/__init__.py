"""Checks of prompts and classifiers of pictures. They are tripwires: they catch the careless, no more."""
