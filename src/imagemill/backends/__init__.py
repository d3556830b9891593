"""The backends that render pictures, one package each, behind `imagemill.backends.base.Backend`."""
