"""Artifacts and their revisions: upload, read, prune, and what a file job ships."""
