"""ComfyUI graphs: parse, validate, build, and fill in values.

Pure functions: no network, and no files but the package's own.
"""
