#!/usr/bin/env python3
"""Collects tool definitions from published MCP servers for the analyzer's corpus.

    collect.py fetch LIST RAW [--only TEXT] [--hide DIR]...
    collect.py select LIST RAW OUT NOTICE [--marks FILE]

LIST is a JSON array; an entry names one published package:
    {"registry": "npm" | "pypi", "package": "...", "version": "...",
     "command": "...", "args": [...], "env": {...}, "with": ["other requirement", ...],
     "author": "..."}
`with` (pypi) holds back a dependency that has since left the package behind; `author` joins servers
of one author that publishes under several names. Without `command` the script that the package
itself installs is taken. In args and env, {room} stands for the server's own throw-away folder.

`fetch` installs one package at a time (the next one while this one answers) into a folder of its
own without running install scripts or building from source, starts it over stdio with an empty
home, no network but loopback, no privileges and no credentials, and speaks initialize, tools/list,
prompts/list and resources/templates/list (every page). It writes RAW/<package>.json and deletes the
folder. A package already in RAW is passed over, so a broken run can be taken up again. It needs
root, and Linux's unshare, setpriv and ip. A server that refuses to start for want of a setting is
started again, three times at most, with every setting that its complaint names set to a dummy.

`select` reads RAW and writes one JSON line a definition: {"source", "server", "author", "licence",
"kind", "definition"}, and a mark where FILE (lines of mark, source, kind, name, parted by tabs)
says so: "hard" for what is honest but reads like an attack, "contested" for what a careful reader
may well call one (it asks for the user's own words, for telemetry) and no rate should count either
way. Only MIT, Apache-2.0, BSD and ISC count. Near duplicates are counted once (five-word shingles,
Jaccard above 0.9), no description skeleton more than five times, no server gives more than 60
tools.
"""
import argparse, json, os, queue, re, shutil, signal, subprocess, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from email.parser import Parser
from pathlib import Path

TIME_LIMIT = 60  # seconds for one start of a server, everything included
PER_SERVER, PER_SKELETON, DEFINITION_BYTES, SERVER_BYTES = 60, 5, 20_000, 70_000
METHODS = [("tool", "tools/list", "tools", "tools"), ("prompt", "prompts/list", "prompts", "prompts"),
           ("template", "resources/templates/list", "resourceTemplates", "resources")]
SPDX = re.compile(r"\(?(MIT|MIT-0|Apache-2\.0|BSD-2-Clause|BSD-3-Clause|0BSD|ISC)\b", re.I)
SETTING = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b")
EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
# Runs as root inside fresh namespaces: keep only the folders named, then drop every privilege.
INSIDE = """ip link set lo up; mount -t tmpfs none /mnt
n=0; for d in $KEEP; do n=$((n+1)); mkdir -p /mnt/$n; mount --bind "$d" /mnt/$n; done
for d in $HIDE; do mount -t tmpfs none "$d"; done
n=0; for d in $KEEP; do n=$((n+1)); mkdir -p "$d"; mount --bind /mnt/$n "$d"; done
umount /mnt/* /mnt; mount -t tmpfs none /mnt; hostname host
cd "$HOME" && exec setpriv --reuid 65534 --regid 65534 --clear-groups --no-new-privs "$@" """


def run(*command, limit=180):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=limit)
    if done.returncode:
        raise RuntimeError("install failed: " + " ".join(done.stdout.split())[-300:])


def plain_name(person):
    """The name of an author field, which may be text or a table, without mail address or site."""
    person = person.get("name", "") if isinstance(person, dict) else str(person or "")
    return re.split(r"[<(]", person)[0].strip(' "\'') if not EMAIL.match(person.strip()) else ""


def copyright_line(folder, depth):
    for path in sorted(p for p in folder.glob(depth) if p.is_file()
                       and re.match(r"(licen[cs]e|copying|notice)", p.name, re.I)):
        for line in path.read_text(errors="replace").splitlines():
            if re.match(r"\W*copyright\b.*(\d{4}|\(c\)|©)", line, re.I) and "[" not in line \
                    and "yyyy" not in line:
                return " ".join(line.split()).strip("# */")
    return ""


def licence_of_text(folder, depth):
    for path in folder.glob(depth):
        if path.is_file() and re.match(r"licen[cs]e|copying", path.name, re.I):
            text = " ".join(path.read_text(errors="replace").split())
            if "Permission is hereby granted, free of charge" in text: return "MIT"
            if "Apache License Version 2.0" in text: return "Apache-2.0"
            if "Redistribution and use in source and binary forms" in text: return "BSD-3-Clause"
    return ""


def install_npm(entry, room):
    run("npm", "install", "--ignore-scripts", "--no-package-lock", "--omit=dev", "--no-audit",
        "--no-fund", "--prefix", str(room), f"{entry['package']}@{entry['version']}")
    home = room / "node_modules" / entry["package"]
    meta = json.loads((home / "package.json").read_text())
    licence = meta.get("license") or (meta.get("licenses") or [""])[0]
    licence = licence.get("type", "") if isinstance(licence, dict) else licence
    if "SEE LICENSE" in licence.upper(): licence = ""
    binaries, short = meta.get("bin") or {}, entry["package"].split("/")[-1]
    if isinstance(binaries, str): binaries = {short: binaries}
    command = entry.get("command") or (short if short in binaries else next(iter(binaries), ""))
    if not command: raise RuntimeError("no command: the package installs no script")
    scope = entry["package"].split("/")[0] if "/" in entry["package"] else ""
    author = scope or plain_name(meta.get("author")) or next(
        filter(None, map(plain_name, meta.get("maintainers") or [])), entry["package"])
    return (["node", str(home / binaries[command])] if command in binaries else [command], command,
            licence or licence_of_text(home, "*"), author, copyright_line(home, "*"))


def install_pypi(entry, room):
    run(sys.executable, "-m", "venv", "--without-pip", str(room / "venv"))
    pip = ["uv", "pip", "install", "--no-cache"] if shutil.which("uv") else \
          [sys.executable, "-m", "pip", "--python", str(room / "venv/bin/python"), "install", "--no-cache-dir", "--no-compile"]
    run("env", f"VIRTUAL_ENV={room}/venv", *pip, "-q", "--only-binary", ":all:",
        f"{entry['package']}=={entry['version']}", *entry.get("with", []))
    wanted = re.sub(r"[-_.]+", "_", entry["package"]).lower()
    info = next(p for p in (room / "venv").glob("lib/*/site-packages/*.dist-info")
                if re.sub(r"[-_.]+", "_", p.name.split("-")[0]).lower() == wanted)
    meta = Parser().parsestr((info / "METADATA").read_text())
    classified = [c.split("::")[-1].strip() for c in meta.get_all("Classifier", []) if "License ::" in c]
    licence = meta.get("License-Expression") or (meta.get("License") or "").strip().split("\n")[0][:60]
    for name, spdx in (("MIT", "MIT"), ("Apache", "Apache-2.0"), ("BSD", "BSD-3-Clause"), ("ISC", "ISC")):
        if not SPDX.match(licence) and (any(name in c for c in classified)
                                        or re.match(rf"(the )?{name}\b", licence, re.I)): licence = spdx
    scripts = [line.split("=")[0].strip() for line in (info / "entry_points.txt").read_text()
               .partition("[console_scripts]")[2].partition("\n[")[0].splitlines() if "=" in line]
    same = [s for s in scripts if re.sub(r"[-_.]+", "_", s).lower() == wanted]
    command = entry.get("command") or (same + scripts)[0]
    people = meta.get("Author") or meta.get("Author-email") or meta.get("Maintainer") or ""
    return ([str(room / "venv/bin" / command)], command, licence if SPDX.match(licence)
            else licence_of_text(info, "**/*") or licence,
            plain_name(people) or entry["package"], copyright_line(info, "**/*"))


class Session:
    """One server over stdio: requests in order, every other message set aside."""

    def __init__(self, command, env, room, hide):
        keep = " ".join([str(room), sys.base_prefix])
        self.errors = open(room / "stderr.log", "w+", errors="replace")
        self.process = subprocess.Popen(
            ["nice", "-n", "2", "unshare", "--mount", "--net", "--pid", "--uts", "--fork", "--kill-child",
             "--mount-proc", "sh", "-c", INSIDE, "sh", *command], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=self.errors, text=True, encoding="utf-8",
            errors="replace", start_new_session=True, env={**env, "KEEP": keep, "HIDE": " ".join(hide)})
        self.deadline, self.lines, self.last = time.monotonic() + TIME_LIMIT, queue.Queue(), 0
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout: self.lines.put(line)
        self.lines.put(None)

    def send(self, **message):
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        self.process.stdin.flush()

    def ask(self, method, **params):
        self.last += 1
        self.send(id=self.last, method=method, params=params)
        while True:
            try: line = self.lines.get(timeout=max(0, self.deadline - time.monotonic()))
            except queue.Empty: raise RuntimeError(f"no answer to {method} in time")
            if line is None: raise RuntimeError(f"ended before it answered {method}")
            try: message = json.loads(line)
            except ValueError: continue
            if not isinstance(message, dict): continue
            if message.get("id") == self.last and "method" not in message:
                if "result" in message: return message["result"]
                raise RuntimeError(f"{method} refused: {str(message.get('error'))[:200]}")
            if "method" in message and "id" in message:
                self.send(id=message["id"], **({"result": {}} if message["method"] == "ping" else
                          {"error": {"code": -32601, "message": "not offered"}}))

    def listing(self):
        hello = self.ask("initialize", protocolVersion="2025-11-25", capabilities={},
                         clientInfo={"name": "corpus-collector", "version": "1.0.0"})
        self.send(method="notifications/initialized")
        found = [("instructions", {"instructions": hello["instructions"]})] if hello.get("instructions") else []
        for kind, method, field, capability in METHODS:
            if capability not in hello.get("capabilities", {}): continue
            cursor = {}
            while cursor is not None:
                try: page = self.ask(method, **cursor)
                except RuntimeError:
                    if kind == "tool": raise
                    break
                found += [(kind, one) for one in page.get(field, [])]
                cursor = {"cursor": page["nextCursor"]} if page.get("nextCursor") else None
        return hello.get("serverInfo", {}).get("name", ""), found

    def close(self):
        try: os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError: pass
        self.process.wait()
        self.errors.seek(0)
        return self.errors.read()[-4000:]


def install(entry, room):
    shutil.rmtree(room, ignore_errors=True)
    room.mkdir()
    return (install_npm if entry["registry"] == "npm" else install_pypi)(entry, room)


def collect(entry, installed, room, hide):
    command, name, licence, author, holder = installed.result()
    spdx = SPDX.match(licence or "")
    if not spdx: raise RuntimeError(f"licence not among those that count: {licence or 'none stated'}")
    for part in ("home", "data"): (room / part).mkdir(exist_ok=True)
    for part in (room, room / "home", room / "data"): os.chmod(part, 0o777)
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": str(room / "home"), "LANG": "C.UTF-8",
           "TMPDIR": str(room / "data"), "API_KEY": "unused", "CI": "1", "DO_NOT_TRACK": "1",
           **{k: v.replace("{room}", str(room)) for k, v in entry.get("env", {}).items()}}
    args = [a.replace("{room}", str(room)) for a in entry.get("args", [])]
    dummies = {}
    for attempt in range(4):
        session = Session(command + args, {**env, **dummies}, room, hide)
        try: server, found = session.listing()
        except (RuntimeError, OSError, KeyError, TypeError, AttributeError) as problem:
            said = session.close()
            more = {s for s in SETTING.findall(said) if s not in env and s not in dummies
                    and not s.startswith(("ERR_", "MODULE_", "NODE_", "E_", "LD_", "PYTHON"))}
            if attempt == 3 or not more or "in time" in str(problem):
                raise RuntimeError(f"{problem}; it said: {' '.join(said.split())[-240:]}")
            dummies.update({s: "http://127.0.0.1:9" if re.search("URL|URI|HOST|ENDPOINT", s) else "unused"
                            for s in sorted(more)[:12]})
            continue
        session.close()
        if not any(kind == "tool" for kind, _ in found): raise RuntimeError("it lists no tools")
        return {"source": f"{entry['registry']}:{entry['package']}@{entry['version']}", "server": server,
                "author": author, "licence": spdx[1], "copyright": EMAIL.sub("", holder).replace("<>", "").strip(),
                "command": name, "env": {**entry.get("env", {}), **dummies},
                "found": [{"kind": k, "definition": d} for k, d in found]}


def place(entry, raw):
    return Path(raw) / (re.sub(r"[^\w.-]+", "_", f"{entry['registry']}_{entry['package']}") + ".json")


def fetch(options):
    raw = Path(options.raw).resolve(); raw.mkdir(parents=True, exist_ok=True)
    wanted = [(e, place(e, raw)) for e in json.loads(Path(options.list).read_text())
              if (options.only or "") in e["package"] and not place(e, raw).exists()]
    rooms = [raw / "room0", raw / "room1"]
    with ThreadPoolExecutor(1) as installer:  # the next one installs while this one answers
        started = [installer.submit(install, entry, rooms[n % 2]) for n, (entry, _) in enumerate(wanted[:1])]
        for n, (entry, target) in enumerate(wanted):
            room, source = rooms[n % 2], f"{entry['registry']}:{entry['package']}@{entry['version']}"
            started[n].exception()
            if n + 1 < len(wanted): started.append(installer.submit(install, wanted[n + 1][0], rooms[(n + 1) % 2]))
            try: result = collect(entry, started[n], room, options.hide)
            except Exception as problem:  # one package's failure, of whatever sort, must not end the run
                result = {"source": source, "failed": (str(problem) or repr(problem)).replace(str(room), "{room}")}
            finally: shutil.rmtree(room, ignore_errors=True)
            text = json.dumps(result, ensure_ascii=False)
            target.write_text(text.replace(f"{room}/home", "/home/user").replace(str(room), "/srv"))
            print(f"{time.strftime('%T')}  {entry['package']}: " + (result.get("failed")
                  or f"{len(result['found'])} definitions, {result['licence']}"), flush=True)


def shingles(definition):
    words = re.findall(r"\w+", f"{definition.get('name', '')} {text_of(definition)}".lower().replace("_", " "))
    return {tuple(words[i:i + 5]) for i in range(max(1, len(words) - 4))}


def text_of(definition):
    return str(definition.get("description") or definition.get("instructions") or definition.get("uriTemplate") or "")


def skeleton(definition):
    """The description without what varies in a template: the tool's own words, numbers, quotations."""
    own = {w.rstrip("s") for w in re.findall(r"[a-z]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", str(definition.get("name", ""))).lower())}
    text = re.sub(r"\d+|['\"`][^'\"`]*['\"`]", "#", text_of(definition).lower())[:300]
    return " ".join("_" if w.rstrip("s") in own else w for w in re.findall(r"[a-z#]+", text))


def select(options):
    lines = Path(options.marks).read_text().splitlines() if options.marks else []
    marks = {rest: mark for mark, _, rest in (line.partition("\t") for line in lines)}
    kept, seen, used, notice = [], [], {}, []
    for entry in json.loads(Path(options.list).read_text()):
        path = place(entry, options.raw)
        server = json.loads(path.read_text()) if path.exists() else {"failed": "not collected"}
        if "failed" in server: continue
        server["author"] = entry.get("author", server["author"])
        tools, size, before = 0, 0, len(kept)
        for one in server["found"]:
            definition, kind = one["definition"], one["kind"]
            length = len(json.dumps(definition, ensure_ascii=False).encode())
            grams, bones = shingles(definition), (kind, skeleton(definition))
            if (kind == "tool" and tools >= PER_SERVER or length > DEFINITION_BYTES or size + length > SERVER_BYTES
                    or used.get(bones, 0) >= PER_SKELETON
                    or any(k == kind and 0.9 < len(g) / len(grams) < 1.12
                           and len(g & grams) / len(g | grams) > 0.9 for k, g in seen)): continue
            used[bones] = used.get(bones, 0) + 1
            seen.append((kind, grams)); tools += kind == "tool"; size += length
            line = {k: server[k] for k in ("source", "server", "author", "licence")} | {"kind": kind}
            mark = marks.get("\t".join((server["source"], kind, str(definition.get("name", "")))))
            if mark: line[mark] = True
            kept.append(line | {"definition": definition})
        if len(kept) > before:
            notice.append(f"{server['source']}\n    {server['licence']}; {server['copyright'] or 'by ' + server['author']}\n")
    Path(options.out).write_text("".join(json.dumps(k, ensure_ascii=False) + "\n" for k in kept))
    Path(options.notice).write_text("Definitions listed by these published servers, used as data.\n\n" + "".join(notice))
    print(f"{len(notice)} servers, {len({k['author'] for k in kept})} authors, {len(kept)} definitions")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    verbs = parser.add_subparsers(required=True)
    for verb, names in ((fetch, ("list", "raw")), (select, ("list", "raw", "out", "notice"))):
        sub = verbs.add_parser(verb.__name__); sub.set_defaults(verb=verb)
        for name in names: sub.add_argument(name)
    verbs.choices["fetch"].add_argument("--only", help="only packages whose name holds this text")
    verbs.choices["fetch"].add_argument("--hide", action="append", default=[], help="a folder no server may see")
    verbs.choices["select"].add_argument("--marks", help="which definitions are hard or contested")
    options = parser.parse_args()
    options.verb(options)
