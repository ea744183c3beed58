"""The review of SQL by sqlglot, in a child process: a text that is made to hurt hurts nobody else."""
