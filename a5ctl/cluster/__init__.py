"""Plans on other machines: Ray, Slurm and PBS."""
