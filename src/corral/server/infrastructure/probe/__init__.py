"""Questions this server asks of others on behalf of people: held to addresses it may ask."""
