"""A stdio server on the published Python library (`mcp`), both eras, for our client.

It offers what ../README.md asks of every server here.
"""

import asyncio
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


if __name__ == "__main__":
    server.run("stdio")
