"""A small HTTP proxy that tunnels: CONNECT, with a user where one is asked for. Prints each request's target and what
it was answered.

    python3 connect_proxy.py ADDRESS PORT [USER:PASSWORD]
"""

import asyncio
import base64
import sys


async def relay(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


def serve(credentials):
    wanted = credentials and "Basic " + base64.b64encode(credentials.encode()).decode()

    async def handle(reader, writer):
        async def refuse(status, target):
            print(target, status, flush=True)
            writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
            await writer.drain()
            writer.close()

        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
            return writer.close()
        request, *fields = head.split("\r\n")
        method, target, _ = request.split(" ", 2)
        given = {name.lower(): value for name, _, value in (field.partition(": ") for field in fields)}
        if method != "CONNECT":
            return await refuse("405 Method Not Allowed", target)
        if wanted and given.get("proxy-authorization") != wanted:
            return await refuse("407 Proxy Authentication Required", target)
        host, _, port = target.rpartition(":")
        try:
            upstream = await asyncio.open_connection(host.strip("[]"), int(port))
        except OSError:
            return await refuse("502 Bad Gateway", target)
        print(target, "200", flush=True)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(relay(reader, upstream[1]), relay(upstream[0], writer))

    return handle


async def main():
    address, port, *credentials = sys.argv[1:]
    server = await asyncio.start_server(serve(credentials[0] if credentials else None), address, int(port))
    print("listening", flush=True)
    await server.serve_forever()


asyncio.run(main())
