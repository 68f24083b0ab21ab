"""The filter language of listings: text in, rows of the registry out."""
