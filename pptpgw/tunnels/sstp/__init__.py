"""
SSTP: PPP in packets over TLS ([MS-SSTP], the Secure Socket Tunneling Protocol), as server and as
client.
"""
