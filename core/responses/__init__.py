"""What a response says, whether it is right, and if not, why."""
