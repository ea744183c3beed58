"""How the server itself stands."""
