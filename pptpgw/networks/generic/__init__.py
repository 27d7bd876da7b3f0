"""
Network protocols that are declared in the configuration or in C{protocols.toml}, without code of
their own.
"""
