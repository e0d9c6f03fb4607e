"""The published Python client (`mcp`) against a server: a command, or a URL of either HTTP transport.

    client.py [--era legacy|modern|both] (-- COMMAND ARGS... | --url URL | --sse URL)

Prints one JSON object with every step, then `N passed, M failed`; exits 0 when
nothing failed. The steps are those of ../README.md.
"""

import argparse
import asyncio
import json
import sys
from importlib.metadata import version

import mcp_types as types
from mcp import Client, StdioServerParameters
from mcp.client.sse import sse_client
from mcp.shared.exceptions import MCPError

STATIC, TEMPLATE = "interop://static", "interop://greeting/{name}"
MESSAGE = 'hello "wörld" \u2713\n\U0001f642'
SECONDS = 20


def text(result):
    return "".join(block.text for block in result.content if block.type == "text")


def expect(condition, seen):
    if not condition:
        raise AssertionError(f"unexpected: {seen!r}")


def parameter_error(refused):
    """The text of a refusal that must be the protocol's, for parameters that are wrong."""
    kind, code, message = refused
    expect(kind == "protocol" and code == types.INVALID_PARAMS, refused)
    return message


async def refusal(call):
    """How a call is refused: as a protocol error or as a tool error. Success is a failure here."""
    try:
        result = await call
    except MCPError as error:
        return "protocol", error.error.code, error.error.message
    expect(getattr(result, "is_error", False), result)
    return "tool", None, text(result)


class Steps:
    """One method a step; what it returns is recorded as evidence."""

    def __init__(self, client, era, asked):
        self.client, self.era, self.asked = client, era, asked

    async def negotiate(self):
        revision = self.client.protocol_version
        expect((revision >= "2026-07-28") == (self.era == "modern"), revision)
        info = self.client.server_info
        expect(info and info.name and info.version, info)
        return {"revision": revision, "server": f"{info.name} {info.version}"}

    async def list_tools(self):
        tools = {tool.name: tool for tool in (await self.client.list_tools()).tools}
        expect({"ask", "echo", "slow"} <= set(tools), sorted(tools))
        schema = tools["echo"].input_schema
        expect(schema["type"] == "object" and schema["required"] == ["message"], schema)
        return sorted(tools)

    async def echo(self):
        result = await self.client.call_tool("echo", {"message": MESSAGE})
        expect(not result.is_error and text(result) == f"echo: {MESSAGE}", result)

    async def progress(self):
        seen = []

        async def note(progress, total, message):
            seen.append([progress, total])

        result = await self.client.call_tool("slow", {"steps": 3, "delay_ms": 100}, progress_callback=note)
        expect(text(result) == "slow done: 3", result)
        expect(seen == [[1, 3], [2, 3], [3, 3]], seen)
        return seen

    async def unknown_tool(self):
        return await refusal(self.client.call_tool("no_such_tool", {}))

    async def wrong_argument(self):
        kind, code, message = await refusal(self.client.call_tool("echo", {"message": {"not": "text"}}))
        expect("message" in message, message)
        return kind, code, message

    async def missing_argument(self):
        kind, code, message = await refusal(self.client.call_tool("echo", {}))
        expect("message" in message, message)
        return kind, code, message

    async def elicitation(self):
        result = await self.client.call_tool("ask", {})
        expect(not result.is_error and text(result) == "hello Ada", result)
        expect(self.asked == ["What is your name?"], self.asked)

    async def list_resources(self):
        found = {resource.uri: resource for resource in (await self.client.list_resources()).resources}
        expect(STATIC in found and found[STATIC].mime_type == "text/plain", found)
        return sorted(found)

    async def list_templates(self):
        listed = (await self.client.list_resource_templates()).resource_templates
        found = {template.uri_template: template for template in listed}
        expect(TEMPLATE in found and found[TEMPLATE].mime_type == "text/plain", found)
        return sorted(found)

    async def read(self, uri, wanted):
        [content] = (await self.client.read_resource(uri)).contents
        expect((content.uri, content.mime_type, content.text) == (uri, "text/plain", wanted), content)

    async def read_resource(self):
        await self.read(STATIC, "static text")

    async def read_template(self):
        await self.read("interop://greeting/Ada", "greeting for Ada")
        await self.read("interop://greeting/J%C3%BCrgen%20K", "greeting for Jürgen K")

    async def unknown_resource(self):
        return parameter_error(await refusal(self.client.read_resource("interop://nothing")))

    async def list_prompts(self):
        prompts = {prompt.name: prompt for prompt in (await self.client.list_prompts()).prompts}
        expect("greet" in prompts, sorted(prompts))
        [argument] = prompts["greet"].arguments
        expect(argument.name == "name" and argument.required, argument)
        return sorted(prompts)

    async def get_prompt(self):
        [message] = (await self.client.get_prompt("greet", {"name": "Ada"})).messages
        expect((message.role, message.content.text) == ("user", "Please greet Ada"), message)

    async def prompt_without_argument(self):
        message = parameter_error(await refusal(self.client.get_prompt("greet", {})))
        expect("name" in message, message)
        return message

    async def unknown_prompt(self):
        return parameter_error(await refusal(self.client.get_prompt("no_such_prompt", {})))

    async def at_once(self):
        calls = [self.client.call_tool("echo", {"message": str(n)}) for n in range(50)]
        seen = [text(result) for result in await asyncio.gather(*calls)]
        expect(seen == [f"echo: {n}" for n in range(50)], seen)

    async def cancel(self):
        call = self.client.call_tool("slow", {"steps": 1000, "delay_ms": 50})
        try:
            async with asyncio.timeout(0.5):
                result = await call
        except TimeoutError:
            return await self.echo()
        raise AssertionError(f"not cancelled: {result!r}")


ORDER = ["negotiate", "list_tools", "echo", "progress", "unknown_tool", "wrong_argument",
         "missing_argument", "elicitation", "list_resources", "list_templates", "read_resource",
         "read_template", "unknown_resource", "list_prompts", "get_prompt", "prompt_without_argument",
         "unknown_prompt", "at_once", "cancel"]


def first(error):
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"[:500]


def target(given):
    """What the library connects to: a command, a URL, or a transport of its own."""
    if given.url:
        return given.url
    if given.sse:
        return sse_client(given.sse)
    return StdioServerParameters(command=given.command[0], args=given.command[1:])


async def run(given, era):
    done = {name: {"ok": False, "seen": "not reached"} for name in ORDER}
    asked = []

    async def answer(context, params):
        asked.append(params.message)
        return types.ElicitResult(action="accept", content={"name": "Ada"})

    try:
        client = Client(
            target(given),
            mode="legacy" if era == "legacy" else "auto",
            elicitation_callback=answer,
            read_timeout_seconds=SECONDS,
        )
        async with asyncio.timeout(SECONDS * 2), client:
            steps = Steps(client, era, asked)
            for name in ORDER:
                try:
                    done[name] = {"ok": True, "seen": await getattr(steps, name)()}
                except Exception as error:
                    done[name] = {"ok": False, "seen": first(error)}
    except Exception as error:
        done["connection"] = {"ok": False, "seen": first(error)}
    else:
        done["connection"] = {"ok": True, "seen": "opened and closed"}
    return done


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--era", choices=["legacy", "modern", "both"], default="both")
    parser.add_argument("--url")
    parser.add_argument("--sse")
    words = sys.argv[1:]
    cut = words.index("--") if "--" in words else len(words)
    given = parser.parse_args(words[:cut])
    given.command = words[cut + 1:]
    if [bool(given.url), bool(given.sse), bool(given.command)].count(True) != 1:
        parser.error("give one server: `-- COMMAND ARGS...`, `--url URL` or `--sse URL`")
    eras = ["legacy", "modern"] if given.era == "both" else [given.era]
    done = {era: asyncio.run(run(given, era)) for era in eras}
    outcomes = [step["ok"] for steps in done.values() for step in steps.values()]
    print(json.dumps({"client": f"mcp {version('mcp')}", "eras": done}, ensure_ascii=False))
    print(f"{sum(outcomes)} passed, {outcomes.count(False)} failed")
    return 0 if all(outcomes) else 1


sys.exit(main())
