"""Where pictures are made. One module or package a backend, each behind `imagemill.backends.base.Backend`."""
