"""The fleet simulator: N real node identities, one link each, the real inbox, journal, runner and outbox, in few processes.

Everything is on: TLS where the engine has it, signatures, journal, policy, audit; tasks are real children unless --no-exec. What is
simulated is only that many nodes share a process, a kernel and a disk. main (command line) → register (identities from the server)
→ host (one process full of nodes).
"""
