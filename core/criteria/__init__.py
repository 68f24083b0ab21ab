"""Plans: what a set of runs has to show, written down before they start."""
