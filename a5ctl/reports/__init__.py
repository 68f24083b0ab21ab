"""One self-contained page about runs: what was asked, what came out, and how to make it again."""
