"""One module per noun, imported only when that noun is used."""
