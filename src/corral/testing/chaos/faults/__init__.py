"""One file per fault of the catalogue: what is done to the system, and what must hold afterwards beyond the common invariants."""
