"""Laws and statistics of runs: pure functions on arrays and on tables of the event log."""
