"""The wire between server and node: subjects, topology, messages, codec, signing. Standard library only; golden files per version."""
