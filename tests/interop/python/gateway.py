"""gateway.py [--era legacy|modern|both] --gateway WORDS --also WORDS -- COMMAND ARGS...

The published Python client (`mcp`) on two servers, each alone and both behind a gateway: everything that they
list is there under the name of its server, and every tool, prompt and resource gives the same answer as
without the gateway. Left out is what differs between two runs without it. Prints what was compared, then
`N passed, M failed`.
"""

import argparse
import asyncio
import json
import pathlib
import shlex
import sys
import tempfile

from same import answers

# Lists and what is kept in them under a name.
NAMED = {"list_tools": "tools", "list_prompts": "prompts"}
BY_URI = {"list_resources": "resources", "list_resource_templates": "resourceTemplates"}


def entries(answer, members):
    return answer.get(members, []) if isinstance(answer, dict) else []


def expected(alone):
    """What a gateway has to answer, from what each server answers alone, by its name."""
    wanted = {}
    for server, seen in alone.items():
        for asked, answer in seen.items():
            kind, _, name = asked.partition(" ")
            if kind in ["tool", "prompt"]:
                wanted[f"{kind} {server}__{name}"] = answer
            elif kind == "resource":
                wanted.setdefault(asked, answer)
    for asked, members in NAMED.items():
        for server, seen in alone.items():
            for one in entries(seen[asked], members):
                wanted[f"{asked} {server}__{one['name']}"] = one | {"name": f"{server}__{one['name']}"}
    for asked, members in BY_URI.items():
        for seen in alone.values():
            for one in entries(seen[asked], members):
                wanted.setdefault(f"{asked} {one.get('uri') or one.get('uriTemplate')}", one)
    return wanted


def found(seen):
    """The answers of a gateway in the same form."""
    flat = {asked: answer for asked, answer in seen.items() if asked.split(" ")[0] in ["tool", "prompt", "resource"]}
    for asked, members in (NAMED | BY_URI).items():
        for one in entries(seen[asked], members):
            place = one["name"] if asked in NAMED else one.get("uri") or one.get("uriTemplate")
            flat[f"{asked} {place}"] = one
    return flat


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--era", choices=["legacy", "modern", "both"], default="both")
    parser.add_argument("--gateway", required=True)
    parser.add_argument("--also", required=True)
    words = sys.argv[1:]
    cut = words.index("--") if "--" in words else len(words)
    given, command = parser.parse_args(words[:cut]), words[cut + 1:]
    servers = {"one": command, "two": shlex.split(given.also)}
    passed, failed = [], []
    for era in ["legacy", "modern"] if given.era == "both" else [given.era]:
        with tempfile.TemporaryDirectory() as home:
            file = pathlib.Path(home, "servers.json")
            entry = lambda words: {"command": words[0], "args": words[1:]}
            file.write_text(json.dumps({"mcpServers": {name: entry(words) for name, words in servers.items()}}))
            run = lambda words, **more: asyncio.run(answers(words, era, home, **more))
            first, second = ({name: run(words) for name, words in servers.items()} for _ in range(2))
            bare = lambda name: name.split("__", 1)[-1]
            behind = found(run([*shlex.split(given.gateway), str(file), "--trust-first-use"], bare=bare))
        first, second = expected(first), expected(second)
        for name in sorted({*first, *behind}):
            if first.get(name) != second.get(name):
                continue
            if first.get(name) == behind.get(name):
                passed.append(f"{era} {name}")
            else:
                failed.append({"what": f"{era} {name}", "without": first.get(name), "with": behind.get(name)})
    print(json.dumps({"same": passed, "other": failed}, ensure_ascii=False))
    print(f"{len(passed)} passed, {len(failed)} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
