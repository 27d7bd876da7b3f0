"""
Sessions: who has one, what it is given, its limits, and what is recorded of it.
"""
