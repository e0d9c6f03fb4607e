// The Inspector's command line (`@modelcontextprotocol/inspector`) against a
// server, a command or a URL of Streamable HTTP: one run of it a step.
//
//   node inspector.mjs [--era legacy|modern|both] (-- COMMAND ARGS... | --url URL)
//
// Prints one JSON object with every step, then `N passed, M failed`; exits 0
// when nothing failed. The steps are those of ../README.md that it can take.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

// The command line answers no question of a server: named here, never passed over in silence.
const WITHOUT = ['elicitation'];
const PACKAGE = fileURLToPath(new URL('node_modules/@modelcontextprotocol/inspector/', import.meta.url));
// The Inspector keeps a catalogue in the home folder; a run leaves nothing there.
const HOME = mkdtempSync(join(tmpdir(), 'inspector-'));

function inspect(target, era, ...args) {
  const launcher = join(PACKAGE, 'clients/launcher/build/index.js');
  const argv = [launcher, '--cli', ...target, '--protocol-era', era, '--quiet', '--format', 'json', ...args];
  return new Promise(resolve => {
    execFile(process.execPath, argv, { env: { ...process.env, HOME }, timeout: 60_000 }, (error, stdout, stderr) =>
      resolve({ code: error ? (error.code ?? error.signal) : 0, stdout: stdout.trim(), stderr: stderr.trim() }));
  });
}

function result(run) {
  assert.equal(run.code, 0, `exit ${run.code}: ${run.stderr || run.stdout}`);
  return JSON.parse(run.stdout).result;
}

function refused(run, code) {
  assert.notEqual(run.code, 0, run.stdout);
  const { error } = JSON.parse(run.stderr);
  assert.equal(error.code, code, run.stderr);
  return error;
}

const call = (inspector, name, args) =>
  inspector('--method', 'tools/call', '--tool-name', name, '--tool-args-json', JSON.stringify(args));

/** One entry a step; what it returns is recorded as evidence. */
const STEPS = {
  async negotiate(inspector, era) {
    const { protocolVersion, serverInfo } = result(await inspector('--method', 'initialize'));
    assert.equal(protocolVersion >= '2026-07-28', era === 'modern', `negotiated ${protocolVersion}`);
    return { revision: protocolVersion, server: `${serverInfo.name} ${serverInfo.version}` };
  },
  // `--strict` fails when a schema is one that some client cannot take.
  async list_tools(inspector) {
    const names = result(await inspector('--method', 'tools/list', '--strict')).tools.map(tool => tool.name).sort();
    assert(['ask', 'echo', 'slow'].every(name => names.includes(name)), names.join());
    return names;
  },
  async echo(inspector) {
    const { content, isError } = result(await call(inspector, 'echo', { message: 'hello "wörld"' }));
    assert(!isError);
    assert.equal(content[0].text, 'echo: hello "wörld"');
  },
  async progress(inspector) {
    assert.equal(result(await call(inspector, 'slow', { steps: 3 })).content[0].text, 'slow done: 3');
  },
  unknown_tool: async inspector => refused(await call(inspector, 'no_such_tool', {}), 'tool_not_found'),
  wrong_argument: async inspector => refused(await call(inspector, 'echo', { message: { not: 'text' } }), 'tool_is_error'),
  missing_argument: async inspector => refused(await call(inspector, 'echo', {}), 'tool_is_error'),
  async list_resources(inspector) {
    const { resources } = result(await inspector('--method', 'resources/list'));
    assert(resources.some(({ uri }) => uri === 'interop://static'), JSON.stringify(resources));
  },
  async list_templates(inspector) {
    const { resourceTemplates } = result(await inspector('--method', 'resources/templates/list'));
    const found = resourceTemplates.map(({ uriTemplate }) => uriTemplate);
    assert(found.includes('interop://greeting/{name}'), found.join());
  },
  async read_template(inspector) {
    const uri = 'interop://greeting/Ada';
    const { contents } = result(await inspector('--method', 'resources/read', '--uri', uri));
    assert.deepEqual(contents, [{ uri, mimeType: 'text/plain', text: 'greeting for Ada' }]);
  },
  async list_prompts(inspector) {
    const { prompts } = result(await inspector('--method', 'prompts/list'));
    const [{ name, required }] = prompts.find(({ name }) => name === 'greet').arguments;
    assert.deepEqual({ name, required }, { name: 'name', required: true });
  },
  async get_prompt(inspector) {
    const asked = ['--method', 'prompts/get', '--prompt-name', 'greet', '--prompt-args', 'name=Ada'];
    const { messages } = result(await inspector(...asked));
    assert.deepEqual(messages, [{ role: 'user', content: { type: 'text', text: 'Please greet Ada' } }]);
  },
  async at_once(inspector) {
    const load = ['--load', '--load-requests', '200', '--load-concurrency', '20'];
    const { ok, requests, errorMessages } = result(
      await inspector('--method', 'tools/call', '--tool-name', 'echo', '--tool-args-json', '{"message":"hi"}', ...load),
    );
    assert.deepEqual({ ok, requests, errorMessages }, { ok: 200, requests: 200, errorMessages: [] });
  },
};

const argv = process.argv.slice(2);
const cut = argv.indexOf('--');
const { values } = parseArgs({
  args: cut < 0 ? argv : argv.slice(0, cut),
  options: { era: { type: 'string', default: 'both' }, url: { type: 'string' } },
});
const eras = values.era === 'both' ? ['legacy', 'modern'] : [values.era];
const command = cut < 0 ? [] : argv.slice(cut + 1);
if (Boolean(values.url) === command.length > 0 || !eras.every(era => ['legacy', 'modern'].includes(era))) {
  console.error('usage: node inspector.mjs [--era legacy|modern|both] (-- COMMAND ARGS... | --url URL)');
  process.exit(2);
}
const target = values.url ? ['--transport', 'http', '--server-url', values.url] : command;
const done = {};
for (const era of eras) {
  const inspector = (...args) => inspect(target, era, ...args);
  const steps = Object.entries(STEPS);
  done[era] = Object.fromEntries(steps.map(([name]) => [name, null]));
  // Each step is a process of its own, and most of its time is the start.
  const worker = async () => {
    for (let next = steps.shift(); next; next = steps.shift()) {
      const [name, perform] = next;
      try {
        done[era][name] = { ok: true, seen: (await perform(inspector, era)) ?? null };
      } catch (error) {
        done[era][name] = { ok: false, seen: `${error.name}: ${error.message}`.slice(0, 500) };
      }
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
}
rmSync(HOME, { recursive: true, force: true });
const outcomes = Object.values(done).flatMap(steps => Object.values(steps)).map(({ ok }) => ok);
const failed = outcomes.filter(ok => !ok).length;
const { name, version } = JSON.parse(readFileSync(join(PACKAGE, 'package.json')));
console.log(JSON.stringify({ client: `${name} ${version}`, eras: done, without: WITHOUT }));
console.log(`${outcomes.length - failed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
