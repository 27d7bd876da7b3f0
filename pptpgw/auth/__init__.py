"""
Who is calling: twisted.cred credentials, checkers and realm.
"""
