"""HTTP that belongs to no dialect: problems, requests, blobs, health, the live event stream."""
