"""A server on the published Python library (`mcp`), both eras, for our client.

On standard streams, behind Streamable HTTP with `--http PORT`, behind HTTP+SSE with `--sse PORT`.
It offers what ../README.md asks of every server here.
"""

import asyncio
import sys
from typing import Annotated

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.resolve import AcceptedElicitation, Elicit, ElicitationResult, Resolve
from pydantic import BaseModel

server = MCPServer("interop-python", version="1.0.0")


@server.tool()
def echo(message: str) -> str:
    """Gives its message back."""
    return f"echo: {message}"


@server.tool()
async def slow(context: Context, steps: int = 3, delay_ms: int = 20) -> str:
    """Counts its steps, one progress notification each."""
    for step in range(1, steps + 1):
        await context.report_progress(step, steps, f"step {step}")
        await asyncio.sleep(delay_ms / 1000)
    return f"slow done: {steps}"


class Name(BaseModel):
    """What `ask` asks for."""

    name: str


def question() -> Elicit[Name]:
    return Elicit("What is your name?", Name)


@server.tool()
async def ask(answer: Annotated[ElicitationResult[Name], Resolve(question)]) -> str:
    """Asks the user for a name."""
    match answer:
        case AcceptedElicitation(data=given):
            return f"hello {given.name}"
        case refused:
            return f"ask {refused.action}"


@server.resource("interop://static", mime_type="text/plain")
def static() -> str:
    """A text that never changes."""
    return "static text"


@server.resource("interop://greeting/{name}", mime_type="text/plain")
def greeting(name: str) -> str:
    """A greeting for each name."""
    return f"greeting for {name}"


@server.prompt()
def greet(name: str) -> str:
    """Asks to greet somebody."""
    return f"Please greet {name}"


if __name__ == "__main__":
    match sys.argv[1:]:
        case []:
            server.run("stdio")
        case ["--http", port]:
            server.run("streamable-http", port=int(port))
        case ["--sse", port]:
            server.run("sse", port=int(port))
        case _:
            sys.exit("usage: server.py [--http PORT | --sse PORT]")
