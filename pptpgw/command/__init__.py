"""
The command C{pptpgw}, which manages the account store and runs PPP on single lines.
"""
