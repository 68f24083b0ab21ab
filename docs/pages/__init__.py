"""What the scripts of the folder above write: one module for each page, or for a part of one."""
