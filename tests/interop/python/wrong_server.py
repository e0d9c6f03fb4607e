"""A server that keeps the protocol and breaks every promise of ../README.md.

On standard streams, or behind Streamable HTTP with `--http PORT`.

A client program that passes against it proves nothing; `cargo xtask interop`
runs each of them here first and wants it to fail.
"""

import asyncio
import sys

import mcp_types as types
import uvicorn
from mcp.server import Server
from mcp.server.stdio import stdio_server


async def list_tools(context, params):
    return types.ListToolsResult(tools=[types.Tool(name="echo", input_schema={"type": "object"})])


async def call_tool(context, params):
    return types.CallToolResult(content=[types.TextContent(text="wrong")])


async def list_resources(context, params):
    return types.ListResourcesResult(resources=[types.Resource(name="static", uri="interop://else")])


async def list_templates(context, params):
    template = types.ResourceTemplate(name="greeting", uri_template="interop://else/{name}")
    return types.ListResourceTemplatesResult(resource_templates=[template])


async def read_resource(context, params):
    return types.ReadResourceResult(contents=[types.TextResourceContents(uri=params.uri, text="wrong")])


async def list_prompts(context, params):
    return types.ListPromptsResult(prompts=[types.Prompt(name="greet")])


async def get_prompt(context, params):
    content = types.TextContent(text="wrong")
    return types.GetPromptResult(messages=[types.PromptMessage(role="assistant", content=content)])


server = Server(
    "wrong",
    version="1.0.0",
    on_list_tools=list_tools,
    on_call_tool=call_tool,
    on_list_resources=list_resources,
    on_list_resource_templates=list_templates,
    on_read_resource=read_resource,
    on_list_prompts=list_prompts,
    on_get_prompt=get_prompt,
)


async def serve():
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


match sys.argv[1:]:
    case []:
        asyncio.run(serve())
    case ["--http", port]:
        uvicorn.run(server.streamable_http_app(), host="127.0.0.1", port=int(port))
    case _:
        sys.exit("usage: wrong_server.py [--http PORT]")
