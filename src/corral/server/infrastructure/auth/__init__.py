"""Keys and signatures of people's access: session signatures, sealed answers, the first admin token."""
