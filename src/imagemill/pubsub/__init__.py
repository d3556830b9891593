"""Publish and subscribe between processes: events, progress, previews and wake-ups. Nothing is stored."""
