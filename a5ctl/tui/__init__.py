"""`a5ctl ui`: the registry in a full-screen terminal, live."""
