"""What an operator does on the server's own machine, without a running server: set up, back up, restore, describe an engine.

Called by the verbs of `corral system` (cli/commands); each function takes plain values and returns what was done, printing nothing.
"""
