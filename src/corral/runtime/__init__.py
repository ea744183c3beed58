"""How any of our programs runs: clock, lifecycle, backoff, config, logs, process, files, limits, tls, crypto. Standard library only."""
