"""The illustrations and the manifest of the packaged sample book, drawn by code.

``python -m tools.sample_book`` writes them into ``src/imagemill/products/books/sample``.
"""
