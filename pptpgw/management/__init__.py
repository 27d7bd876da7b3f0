"""
The management of a running gateway: an HTTP interface with JSON, on which the command line
and other programs build.
"""
