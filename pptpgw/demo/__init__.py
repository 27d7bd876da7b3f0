"""
C{make demo}: every kind of network protocol over two encrypted calls at once, in one screen.
"""
