"""Rollouts: a change brought to the fleet in stages that stop by themselves."""
