"""Characters: avatars, stickers, covers and scenes made from character sheets."""
