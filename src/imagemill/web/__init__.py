"""HTTP machinery that belongs to no API: authentication, errors, blobs, server-sent events, WebSockets."""
