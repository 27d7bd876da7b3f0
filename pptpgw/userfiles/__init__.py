"""
Files with users, of this and of other programs: the formats that they have, a module for each, and
which users of a file a store can take.
"""
