"""File storage: the stores behind `imagemill.blobs.base.BlobStore`."""
