"""How a child's face gets onto a page, and how well it is recognised there."""
