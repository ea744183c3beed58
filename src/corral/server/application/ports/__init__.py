"""What the use cases need of the outside, one file per room, in the caller's words. At most 8 methods a port."""
