"""Reports of runs: figures, and the page that shows them; draws from analysis and computes nothing else."""
