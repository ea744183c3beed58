"""How the command line prints: tables, machine formats, grouped results, progress, and what a terminal may be shown."""
