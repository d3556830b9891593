"""Avatars, stickers, covers and scenes of characters: how they are made."""
