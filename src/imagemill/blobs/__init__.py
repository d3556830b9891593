"""Where finished files are kept, each store behind `imagemill.blobs.base.BlobStore`."""
