"""The selector language: one expression picks targets everywhere. `parse` reads it, `plan` runs it on an index, `evaluate` on one node."""
