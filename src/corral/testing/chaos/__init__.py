"""Faults on purpose: real processes are killed, paused, wiped and lied to, then the checker says whether a promise broke.

__main__ (command line) → run (one fault after the other, verdicts, history) → catalogue (which faults there are) → faults/* (one
small file each). A fault gets a Ground (seed, scale, folder), lays out a Field (a control plane, a fleet, a load with a ledger) and
ends with the Field's judgement. Only processes that a fault started itself are ever signalled.
"""
