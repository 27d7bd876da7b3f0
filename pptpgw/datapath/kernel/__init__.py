"""
The data path within Linux: packets never come into this process.
"""
