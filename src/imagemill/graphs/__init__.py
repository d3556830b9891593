"""ComfyUI graphs: parsed, validated, built and bound. Pure: no network, no files but the package's own."""
