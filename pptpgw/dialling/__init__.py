"""
Calls that this gateway dials and keeps up.
"""
