"""What the server keeps in files of its own."""
