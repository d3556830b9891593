"""Checks of prompts and classifiers of pictures."""
