"""Shipped fakes, builders, the checker of fault runs, and the fleet simulator."""
