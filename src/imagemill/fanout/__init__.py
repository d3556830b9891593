"""What one process tells all others: news of commits, live progress, previews. Nothing of it is kept."""
