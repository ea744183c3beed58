"""The review of SQL before it is submitted: split, judged by the rules of its connection, held or refused."""
