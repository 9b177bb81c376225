#!/usr/bin/env python3
"""Twenty members of the chat of the examples. Usage: chat-members.py ws://HOST:PORT/chat     Needs the package websockets."""

import asyncio
import sys

import websockets


async def until(member, text):
    """The lines up to the one that is wanted."""
    lines = []
    while not lines or lines[-1] != text:
        lines.append(await asyncio.wait_for(member.recv(), 20))
    return lines


async def main(url):
    members = [await websockets.connect(f"{url}?name=m{number}") for number in range(20)]
    for number, member in enumerate(members):
        await member.send(f"hello {number}")
    # Everybody hears everybody, and what one says in its order.
    await members[7].send("bye")
    for member in members:
        heard = await until(member, "m7: bye")
        for number in range(20):
            if f"m{number}: hello {number}" not in heard:
                heard += await until(member, f"m{number}: hello {number}")
    late = await websockets.connect(f"{url}?name=late")
    print("late hears", "m7: bye" in await until(late, "* late has come"))
    await members[3].close()
    await until(late, "* m3 has gone")
    try:
        await late.send("x" * 5000)
        await until(late, "never said")
    except websockets.ConnectionClosed as closed:
        print("too long:", closed.rcvd.code)
    for member in members:
        await member.close()
    print("all heard all")


asyncio.run(main(sys.argv[1]))
