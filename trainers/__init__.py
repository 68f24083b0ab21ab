"""How the policy learns: tensors, objectives, the shared loop, and one file per method."""
