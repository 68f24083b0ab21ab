"""The command line of a5ctl: parse, call, render."""
