"""Pure decisions and values: standard library only, no clock, no I/O, no logging. Every function here is (state, facts, now) → answer."""
