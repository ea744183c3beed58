"""The ports of the rooms over the engine: what goes down to nodes, what came up from them."""
