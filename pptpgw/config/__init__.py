"""
The configuration: TOML to one typed value, and the plugins that it names.
"""
