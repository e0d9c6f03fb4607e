// The published TypeScript client (`@modelcontextprotocol/client`) against a
// server: a command, or a URL of either HTTP transport.
//
//   node client.mjs [--era legacy|modern|both] (-- COMMAND ARGS... | --url URL | --sse URL)
//
// Prints one JSON object with every step, then `N passed, M failed`; exits 0
// when nothing failed. The steps are those of ../README.md.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import {
  Client, ProtocolError, ProtocolErrorCode, SSEClientTransport, StreamableHTTPClientTransport,
} from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';

const STATIC = 'interop://static';
const TEMPLATE = 'interop://greeting/{name}';
const MESSAGE = 'hello "wörld" \u2713\n\u{1f642}';
const TIMEOUT = 20_000;

const text = result => result.content.filter(block => block.type === 'text').map(block => block.text).join('');

const call = (client, name, args, options = {}) =>
  client.callTool({ name, arguments: args }, { timeout: TIMEOUT, ...options });

/** How a call is refused: as a protocol error or as a tool error. Success is a failure here. */
async function refusal(pending) {
  let result;
  try {
    result = await pending;
  } catch (error) {
    assert(error instanceof ProtocolError, error);
    return { kind: 'protocol', code: error.code, message: error.message };
  }
  assert.equal(result.isError, true, JSON.stringify(result));
  return { kind: 'tool', message: text(result) };
}

/** The text of a refusal that must be the protocol's, for parameters that are wrong. */
async function parameterError(pending) {
  const seen = await refusal(pending);
  assert.deepEqual([seen.kind, seen.code], ['protocol', ProtocolErrorCode.InvalidParams], JSON.stringify(seen));
  return seen.message;
}

async function read(client, uri, wanted) {
  const { contents } = await client.readResource({ uri }, { timeout: TIMEOUT });
  assert.equal(contents.length, 1);
  const [{ uri: from, mimeType, text }] = contents;
  assert.deepEqual({ from, mimeType, text }, { from: uri, mimeType: 'text/plain', text: wanted });
}

const prompt = (client, name, args) => client.getPrompt({ name, arguments: args }, { timeout: TIMEOUT });

async function echo(client) {
  const result = await call(client, 'echo', { message: MESSAGE });
  assert(!result.isError, JSON.stringify(result));
  assert.equal(text(result), `echo: ${MESSAGE}`);
}

/** One entry a step; what it returns is recorded as evidence. */
const STEPS = {
  async negotiate(client, era) {
    const revision = client.getNegotiatedProtocolVersion();
    assert.equal(revision >= '2026-07-28', era === 'modern', `negotiated ${revision}`);
    const { name, version } = client.getServerVersion();
    assert(name && version);
    return { revision, server: `${name} ${version}` };
  },
  async list_tools(client) {
    const { tools } = await client.listTools(undefined, { timeout: TIMEOUT });
    const names = tools.map(tool => tool.name).sort();
    assert(['ask', 'echo', 'slow'].every(name => names.includes(name)), names.join());
    const schema = tools.find(tool => tool.name === 'echo').inputSchema;
    assert.equal(schema.type, 'object');
    assert.deepEqual(schema.required, ['message']);
    return names;
  },
  echo,
  // The client drops a report that arrives in one chunk with the result, hence the long delay.
  async progress(client) {
    const seen = [];
    const onprogress = ({ progress, total }) => seen.push([progress, total]);
    const result = await call(client, 'slow', { steps: 3, delay_ms: 100 }, { onprogress });
    assert.equal(text(result), 'slow done: 3');
    assert.deepEqual(seen, [[1, 3], [2, 3], [3, 3]]);
    return seen;
  },
  unknown_tool: client => refusal(call(client, 'no_such_tool', {})),
  async wrong_argument(client) {
    const seen = await refusal(call(client, 'echo', { message: { not: 'text' } }));
    assert.match(seen.message, /message/);
    return seen;
  },
  async missing_argument(client) {
    const seen = await refusal(call(client, 'echo', {}));
    assert.match(seen.message, /message/);
    return seen;
  },
  async elicitation(client, _era, asked) {
    const result = await call(client, 'ask', {});
    assert.equal(text(result), 'hello Ada');
    assert.deepEqual(asked, ['What is your name?']);
  },
  async list_resources(client) {
    const { resources } = await client.listResources(undefined, { timeout: TIMEOUT });
    const uris = resources.map(resource => resource.uri).sort();
    assert.equal(resources.find(resource => resource.uri === STATIC)?.mimeType, 'text/plain', uris.join());
    return uris;
  },
  async list_templates(client) {
    const { resourceTemplates } = await client.listResourceTemplates(undefined, { timeout: TIMEOUT });
    const found = resourceTemplates.map(template => template.uriTemplate).sort();
    const wanted = resourceTemplates.find(template => template.uriTemplate === TEMPLATE);
    assert.equal(wanted?.mimeType, 'text/plain', found.join());
    return found;
  },
  read_resource: client => read(client, STATIC, 'static text'),
  async read_template(client) {
    await read(client, 'interop://greeting/Ada', 'greeting for Ada');
    await read(client, 'interop://greeting/J%C3%BCrgen%20K', 'greeting for Jürgen K');
  },
  unknown_resource: client => parameterError(client.readResource({ uri: 'interop://nothing' }, { timeout: TIMEOUT })),
  async list_prompts(client) {
    const { prompts } = await client.listPrompts(undefined, { timeout: TIMEOUT });
    const names = prompts.map(prompt => prompt.name).sort();
    const [{ name, required }] = prompts.find(prompt => prompt.name === 'greet').arguments;
    assert.deepEqual({ name, required }, { name: 'name', required: true });
    return names;
  },
  async get_prompt(client) {
    const { messages } = await prompt(client, 'greet', { name: 'Ada' });
    assert.deepEqual(messages, [{ role: 'user', content: { type: 'text', text: 'Please greet Ada' } }]);
  },
  async prompt_without_argument(client) {
    const message = await parameterError(prompt(client, 'greet', {}));
    assert.match(message, /name/);
    return message;
  },
  unknown_prompt: client => parameterError(prompt(client, 'no_such_prompt', {})),
  async at_once(client) {
    const numbers = Array.from({ length: 50 }, (_, n) => String(n));
    const results = await Promise.all(numbers.map(message => call(client, 'echo', { message })));
    assert.deepEqual(results.map(text), numbers.map(n => `echo: ${n}`));
  },
  async cancel(client) {
    const signal = AbortSignal.timeout(500);
    await assert.rejects(call(client, 'slow', { steps: 1000, delay_ms: 50 }, { signal }));
    await echo(client);
  },
};

const step = (ok, seen = null) => ({ ok, seen });
const failure = error => step(false, `${error.name}: ${error.message}`.slice(0, 500));

function transport({ url, sse, command: [command, ...args] }) {
  if (url) return new StreamableHTTPClientTransport(new URL(url));
  if (sse) return new SSEClientTransport(new URL(sse));
  return new StdioClientTransport({ command, args });
}

async function run(target, era) {
  const done = Object.fromEntries(Object.keys(STEPS).map(name => [name, step(false, 'not reached')]));
  const client = new Client(
    { name: 'interop-typescript', version: '1.0.0' },
    {
      capabilities: { elicitation: { form: {} } },
      versionNegotiation: { mode: era === 'legacy' ? 'legacy' : 'auto' },
    },
  );
  const asked = [];
  client.setRequestHandler('elicitation/create', ({ params }) => {
    asked.push(params.message);
    return { action: 'accept', content: { name: 'Ada' } };
  });
  try {
    await client.connect(transport(target), { timeout: TIMEOUT });
    for (const [name, perform] of Object.entries(STEPS)) {
      try {
        done[name] = step(true, await perform(client, era, asked));
      } catch (error) {
        done[name] = failure(error);
      }
    }
    await client.close();
    done.connection = step(true, 'opened and closed');
  } catch (error) {
    done.connection = failure(error);
  }
  return done;
}

const argv = process.argv.slice(2);
const cut = argv.indexOf('--');
const { values } = parseArgs({
  args: cut < 0 ? argv : argv.slice(0, cut),
  options: { era: { type: 'string', default: 'both' }, url: { type: 'string' }, sse: { type: 'string' } },
});
const eras = values.era === 'both' ? ['legacy', 'modern'] : [values.era];
const target = { ...values, command: cut < 0 ? [] : argv.slice(cut + 1) };
const servers = [target.url, target.sse, target.command[0]].filter(Boolean);
if (servers.length !== 1 || !eras.every(era => ['legacy', 'modern'].includes(era))) {
  console.error('usage: node client.mjs [--era legacy|modern|both] (-- COMMAND ARGS... | --url URL | --sse URL)');
  process.exit(2);
}
const done = {};
for (const era of eras) done[era] = await run(target, era);
const outcomes = Object.values(done).flatMap(steps => Object.values(steps)).map(({ ok }) => ok);
const failed = outcomes.filter(ok => !ok).length;
const { name, version } = JSON.parse(
  readFileSync(new URL('node_modules/@modelcontextprotocol/client/package.json', import.meta.url)),
);
console.log(JSON.stringify({ client: `${name} ${version}`, eras: done }));
console.log(`${outcomes.length - failed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
