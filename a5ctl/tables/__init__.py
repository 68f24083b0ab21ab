"""What the commands show: rows are built from the registry here, then rendered."""
