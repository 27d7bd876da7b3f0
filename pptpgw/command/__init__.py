"""
The command C{pptpgw}, which keeps the account store.
"""
