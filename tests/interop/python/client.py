"""The published Python client (`mcp`) against a stdio server given as a command.

    client.py [--era legacy|modern|both] -- COMMAND ARGS...

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
from mcp.shared.exceptions import MCPError

# Features that the server does not promise yet: named here, never passed over in silence.
LATER = ["resources", "prompts"]
MESSAGE = 'hello "wörld" \u2713\n\U0001f642'
SECONDS = 20


def text(result):
    return "".join(block.text for block in result.content if block.type == "text")


def expect(condition, seen):
    if not condition:
        raise AssertionError(f"unexpected: {seen!r}")


async def refusal(call):
    """How a call is refused: as a protocol error or as a tool error. Success is a failure here."""
    try:
        result = await call
    except MCPError as error:
        return "protocol", error.error.code, error.error.message
    expect(result.is_error, result)
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
         "missing_argument", "elicitation", "at_once", "cancel"]


def first(error):
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"[:500]


async def run(command, era):
    done = {name: {"ok": False, "seen": "not reached"} for name in ORDER}
    asked = []

    async def answer(context, params):
        asked.append(params.message)
        return types.ElicitResult(action="accept", content={"name": "Ada"})

    try:
        server = StdioServerParameters(command=command[0], args=command[1:])
        client = Client(
            server,
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
    if "--" not in sys.argv[1:-1]:
        parser.error("give the server as `-- COMMAND ARGS...`")
    cut = sys.argv.index("--")
    era = parser.parse_args(sys.argv[1:cut]).era
    eras = ["legacy", "modern"] if era == "both" else [era]
    done = {era: asyncio.run(run(sys.argv[cut + 1:], era)) for era in eras}
    outcomes = [step["ok"] for steps in done.values() for step in steps.values()]
    print(json.dumps({"client": f"mcp {version('mcp')}", "eras": done, "later": LATER}, ensure_ascii=False))
    print(f"{sum(outcomes)} passed, {outcomes.count(False)} failed")
    return 0 if all(outcomes) else 1


sys.exit(main())
