"""A name server that answers every question for IPv4 with one address, and none for IPv6: some firewalls and old
servers do the same.

    python3 name_server.py LISTEN ADDRESS
"""

import socket
import struct
import sys

A = 1


def answer(question: bytes, address: str) -> bytes | None:
    """The answer to a query (RFC 1035, section 4), or None for silence."""
    end = 12
    while question[end]:
        end += question[end] + 1
    end += 5
    kind, = struct.unpack("!H", question[end - 4:end - 2])
    if kind != A:
        return None
    header = question[:2] + struct.pack("!HHHHH", 0x8180, 1, 1, 0, 0)
    # The name is the question's, at offset 12.
    record = struct.pack("!HHHIH", 0xC00C, A, 1, 0, 4) + socket.inet_aton(address)
    return header + question[12:end] + record


def main():
    listen, address = sys.argv[1:]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((listen, 53))
        print("listening", flush=True)
        while True:
            question, client = server.recvfrom(512)
            reply = answer(question, address)
            print(client[0], "answered" if reply else "ignored", flush=True)
            if reply:
                server.sendto(reply, client)


main()
