"""
How a caller is judged: the credentials, checkers and realm of twisted.cred, and the authentication
protocols and EAP methods that come with the gateway.
"""
