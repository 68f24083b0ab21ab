"""What `a5ctl doctor` looks at, and what it thinks of what it finds."""
