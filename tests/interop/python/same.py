"""same.py [--era legacy|modern|both] [--guard WORDS] -- COMMAND ARGS...

The published Python client (`mcp`) on a server, without and with a guard before it: everything that the
server lists is listed, called, got and read, and the answers have to be the same. Left out is what differs
between two runs without a guard, and that each result of the newest revision names the server, which a server
of an older one does not know. Prints what was compared, then `N passed, M failed`.
"""

import argparse
import asyncio
import json
import pathlib
import shlex
import sys
import tempfile

import mcp_types as types
from mcp import Client, StdioServerParameters

SECONDS = 60

# What tools are called with; others without arguments, because refusals have to be the same too.
ARGUMENTS = {
    "echo": {"message": "hello"},
    "get-sum": {"a": 2, "b": 3.5},
    "get-annotated-message": {"messageType": "error", "includeImage": True},
    "get-structured-content": {"location": "Chicago"},
    "get-resource-links": {"count": 2},
    "get-resource-reference": {"resourceType": "Text", "resourceId": 1},
    "trigger-long-running-operation": {"duration": 0.2, "steps": 2},
    "slow": {"steps": 2, "delay_ms": 1},
    "create_entities": {"entities": [{"name": name, "entityType": "b", "observations": ["c", "d"]} for name in "ae"]},
    "create_relations": {"relations": [{"from": "a", "to": "e", "relationType": "knows"}]},
    "add_observations": {"observations": [{"entityName": "a", "contents": ["f"]}]},
    "delete_entities": {"entityNames": ["e"]},
    "delete_observations": {"deletions": [{"entityName": "a", "observations": ["c"]}]},
    "delete_relations": {"relations": [{"from": "a", "to": "e", "relationType": "knows"}]},
    "search_nodes": {"query": "a"},
    "open_nodes": {"names": ["a"]},
}


NAME = "io.modelcontextprotocol/serverInfo"


# It prints its environment, and in whose order nobody promises.
LEFT_OUT = {"get-env"}


async def answers(command, era, home, bare=lambda name: name):
    """Every answer of a server, by what was asked. `bare` gives a tool's name by which its arguments are known."""
    seen = {}

    async def ask(name, asking):
        try:
            async with asyncio.timeout(SECONDS):
                answer = await asking
            seen[name] = answer.model_dump(mode="json", by_alias=True)
            meta = seen[name].get("_meta") or {}
            meta.pop(NAME, None)
            seen[name]["_meta"] = meta or None
        except Exception as error:
            seen[name] = f"{type(error).__name__}: {error}"[:2000]

    async def elicited(context, params):
        seen[f"asked: {params.message}"] = True
        return types.ElicitResult(action="accept", content={"name": "Ada"})

    # What the memory server keeps; each run begins with nothing.
    memory = pathlib.Path(home, "memory.jsonl")
    memory.unlink(missing_ok=True)
    env = {"ETDI_HOME": home, "MEMORY_FILE_PATH": str(memory)}
    client = Client(
        StdioServerParameters(command=command[0], args=command[1:], env=env),
        mode="legacy" if era == "legacy" else "auto",
        elicitation_callback=elicited,
        read_timeout_seconds=SECONDS,
    )
    async with client:
        for name in ["list_tools", "list_prompts", "list_resources", "list_resource_templates"]:
            await ask(name, getattr(client, name)())
        listed = lambda name, members: (seen[name] if isinstance(seen[name], dict) else {}).get(members, [])
        for tool in listed("list_tools", "tools"):
            if bare(tool["name"]) in LEFT_OUT:
                continue
            await ask(f"tool {tool['name']}", client.call_tool(tool["name"], ARGUMENTS.get(bare(tool["name"]), {})))
        for prompt in listed("list_prompts", "prompts"):
            given = {one["name"]: "1" for one in prompt.get("arguments") or []}
            await ask(f"prompt {prompt['name']}", client.get_prompt(prompt["name"], given))
        for resource in listed("list_resources", "resources"):
            await ask(f"resource {resource['uri']}", client.read_resource(resource["uri"]))
    return seen


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--era", choices=["legacy", "modern", "both"], default="both")
    parser.add_argument("--guard", required=True)
    words = sys.argv[1:]
    cut = words.index("--") if "--" in words else len(words)
    given, command = parser.parse_args(words[:cut]), words[cut + 1:]
    passed, failed = [], []
    for era in ["legacy", "modern"] if given.era == "both" else [given.era]:
        with tempfile.TemporaryDirectory() as home:
            behind = [*shlex.split(given.guard), "--", *command]
            first, second, guarded = (asyncio.run(answers(one, era, home)) for one in (command, command, behind))
        for name in sorted({*first, *guarded}):
            if first.get(name) != second.get(name):
                continue
            if first.get(name) == guarded.get(name):
                passed.append(f"{era} {name}")
            else:
                failed.append({"what": f"{era} {name}", "without": first.get(name), "with": guarded.get(name)})
    print(json.dumps({"same": passed, "other": failed}, ensure_ascii=False))
    print(f"{len(passed)} passed, {len(failed)} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
