"""ComfyUI graphs: read, checked, built and bound. Pure: no network, no files but the package's own."""
