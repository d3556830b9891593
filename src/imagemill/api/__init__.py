"""Our own REST API, one module a resource."""
