"""The archive: runs of a processed topic as objects in S3, to write and to read."""
