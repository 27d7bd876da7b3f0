"""
The formats of files with users that C{pptpgw import} reads and C{pptpgw export} writes, a module
for each.
"""
