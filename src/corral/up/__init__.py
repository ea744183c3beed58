"""`corral up`: engine, server and a few demo nodes on one machine, for a first look.

The launcher starts real parts as real processes and keeps them running; it has no code path of its own for what a server or a
node does. main → launch (order of the steps) → server_process, node_processes (one child each) → reaper (nothing is left behind).
"""
