"""
Somebody in the middle of an SSTP connection: C{relay.py CERTIFICATE KEY ADDRESS} terminates TLS by
a certificate of its own, and relays everything to the gateway at an address, by TLS too.
"""

import socket
import ssl
import sys
import threading

PORT = 443


def copy(source: ssl.SSLSocket, target: ssl.SSLSocket) -> None:
    """
    Relay one direction until it ends.
    """
    try:
        while octets := source.recv(65536):
            target.sendall(octets)
    except OSError:
        pass
    for end in (source, target):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def main(certificate: str, key: str, address: str) -> None:
    """
    Relay one connection after the other.
    """
    outer = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    outer.load_cert_chain(certificate, key)
    inner = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    inner.check_hostname, inner.verify_mode = False, ssl.CERT_NONE
    with socket.create_server(("", PORT)) as listening:
        print("relaying", flush=True)
        while True:
            accepted, _ = listening.accept()
            here = outer.wrap_socket(accepted, server_side=True)
            there = inner.wrap_socket(socket.create_connection((address, PORT)))
            for ends in ((here, there), (there, here)):
                threading.Thread(target=copy, args=ends, daemon=True).start()


main(*sys.argv[1:])
