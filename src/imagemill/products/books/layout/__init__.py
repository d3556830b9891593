"""Layout of a book: pages with vector text, print profiles, covers, print files, checks and proof sheet."""
