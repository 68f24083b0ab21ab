"""Math word problems: where they come from, which subset a run sees, and in what order."""
