"""Pages of a run that is played: one to look on, and those of the people who take part.

`serving` is what they share on the wire, `tail` how they follow the log, and neither ever writes to it.
"""
