"""
A PPTP gateway on Twisted: PPTP control connections and enhanced GRE feed a pluggable PPP core.
"""

__version__ = "0.2.0.dev0"
