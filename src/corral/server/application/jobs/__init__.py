"""The jobs room: submit, cancel, retry, explain, watch; dispatch to nodes and sweep what will never come."""
