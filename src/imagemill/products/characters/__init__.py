"""Pictures for a platform of character chats: avatars, stickers, covers, scenes."""
