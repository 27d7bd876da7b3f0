"""
Two programs that send octets through TCP and back: C{serve ADDRESS} and C{echo ADDRESS}.
"""

import random
import socket
import sys
import threading

PORT = 5202
OCTETS = random.Random(1).randbytes(300_000)


def serve(address: str) -> None:
    """
    Accept one connection, and send back what arrives on it.
    """
    with socket.create_server((address, PORT)) as listening:
        print("serving", flush=True)
        connection, _ = listening.accept()
        with connection:
            while octets := connection.recv(65536):
                connection.sendall(octets)


def echo(address: str) -> None:
    """
    Send L{OCTETS}, and print whether the same octets came back.
    """
    back = bytearray()
    with socket.create_connection((address, PORT)) as connection:

        def send() -> None:
            connection.sendall(OCTETS)
            connection.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        while octets := connection.recv(65536):
            back += octets
        sender.join()
    print("equal" if back == OCTETS else f"different, {len(back)} of {len(OCTETS)}")


if __name__ == "__main__":
    {"serve": serve, "echo": echo}[sys.argv[1]](sys.argv[2])
