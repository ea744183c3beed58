"""Who may call: API tokens, one-time login links, sessions, and what slows down guessing."""
