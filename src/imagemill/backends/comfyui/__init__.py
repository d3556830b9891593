"""ComfyUI servers as a backend: prompts are sent over HTTP and followed over one WebSocket per node."""
