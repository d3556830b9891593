"""Events, progress, previews and wake-ups between processes. Nothing is stored."""
