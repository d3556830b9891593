"""Personalised picture books: one photo in, a printed book out."""
