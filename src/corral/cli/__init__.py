"""The command line: `corral <noun> <verb>`. It talks to the server through corral.sdk and nothing else."""
