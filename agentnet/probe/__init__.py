"""A validity card of a backend: whether its answers are about what is asked, or about how it is asked.

A card (`card`) is a list of findings, each made by a check (`contract`): a few dozen questions of yes or no
about news, asked in several ways (`subject`, `asking`), and a verdict whose threshold is said (`judging`).
The checks are a file each in `checks`, with their sources in their docstrings.
"""
