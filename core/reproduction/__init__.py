"""Whether a run that was made again is the same: what differs before it begins, and at its end."""
