"""The record of every write, refusal and sensitive read."""
