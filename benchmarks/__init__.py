"""Measurements as ratios in one run: ``make bench``. Never a timed test."""
