"""A stdio server that keeps the protocol and breaks every promise of ../README.md.

A client program that passes against it proves nothing; `cargo xtask interop`
runs each of them here first and wants it to fail.
"""

import asyncio

import mcp_types as types
from mcp.server import Server
from mcp.server.stdio import stdio_server


async def list_tools(context, params):
    return types.ListToolsResult(tools=[types.Tool(name="echo", input_schema={"type": "object"})])


async def call_tool(context, params):
    return types.CallToolResult(content=[types.TextContent(text="wrong")])


async def main():
    server = Server("wrong", version="1.0.0", on_list_tools=list_tools, on_call_tool=call_tool)
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


asyncio.run(main())
