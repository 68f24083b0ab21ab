"""Other tools' files: read into runs of the registry, and written from them."""
