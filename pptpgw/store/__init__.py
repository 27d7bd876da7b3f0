"""
The embedded account store: users, profiles, attempts, sessions and usage in a SQL database.
"""
