"""ComfyUI servers as a backend: prompts are sent over HTTP and followed over one socket a node."""
