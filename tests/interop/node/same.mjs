// The published TypeScript client (`@modelcontextprotocol/client`) on a server, without and with a
// guard before it: what the server lists is listed, called, got and read, and the answers have to be
// the same. Left out is what differs between two runs without a guard, and that each result of the
// newest revision names the server and says how long it holds, which a server of an older one does not.
//
//   node same.mjs [--era legacy|modern|both] --guard WORDS -- COMMAND ARGS...
//
// Prints what was compared, then `N passed, M failed`.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport, getDefaultEnvironment } from '@modelcontextprotocol/client/stdio';

const TIMEOUT = 60_000;

// What tools are called with; others without arguments, because refusals have to be the same too.
const ARGUMENTS = {
  echo: { message: 'hello' },
  'get-sum': { a: 2, b: 3.5 },
  'get-annotated-message': { messageType: 'error', includeImage: true },
  'get-structured-content': { location: 'Chicago' },
  'get-resource-links': { count: 2 },
  'get-resource-reference': { resourceType: 'Text', resourceId: 1 },
  'trigger-long-running-operation': { duration: 0.2, steps: 2 },
  slow: { steps: 2, delay_ms: 1 },
  create_entities: { entities: ['a', 'e'].map(name => ({ name, entityType: 'b', observations: ['c', 'd'] })) },
  create_relations: { relations: [{ from: 'a', to: 'e', relationType: 'knows' }] },
  add_observations: { observations: [{ entityName: 'a', contents: ['f'] }] },
  delete_entities: { entityNames: ['e'] },
  delete_observations: { deletions: [{ entityName: 'a', observations: ['c'] }] },
  delete_relations: { relations: [{ from: 'a', to: 'e', relationType: 'knows' }] },
  search_nodes: { query: 'a' },
  open_nodes: { names: ['a'] },
};

// It prints its environment, and in whose order nobody promises.
const LEFT_OUT = new Set(['get-env']);

const NAME = 'io.modelcontextprotocol/serverInfo';

/** An answer without what the newest revision adds or has no word for. */
function plain({ _meta: { [NAME]: _, ...meta } = {}, ttlMs: _t, cacheScope: _c, ...answer }) {
  if (answer.tools) answer.tools = answer.tools.map(({ execution: _e, ...tool }) => tool);
  return Object.keys(meta).length ? { ...answer, _meta: meta } : answer;
}

async function answers([command, ...args], era, home) {
  const seen = {};
  const client = new Client(
    { name: 'interop-typescript', version: '1.0.0' },
    {
      capabilities: { elicitation: { form: {} } },
      versionNegotiation: { mode: era === 'legacy' ? 'legacy' : 'auto' },
    },
  );
  client.setRequestHandler('elicitation/create', ({ params }) => {
    seen[`asked: ${params.message}`] = true;
    return { action: 'accept', content: { name: 'Ada' } };
  });
  const options = { timeout: TIMEOUT };
  const ask = async (name, asking) => {
    try {
      seen[name] = plain(await asking());
    } catch (error) {
      seen[name] = `${error.name}: ${error.message}`.slice(0, 2000);
    }
  };
  // What the memory server keeps; each run begins with nothing.
  const memory = join(home, 'memory.jsonl');
  rmSync(memory, { force: true });
  const env = { ...getDefaultEnvironment(), ETDI_HOME: home, MEMORY_FILE_PATH: memory };
  await client.connect(new StdioClientTransport({ command, args, env }), options);
  await ask('listTools', () => client.listTools({}, options));
  await ask('listPrompts', () => client.listPrompts({}, options));
  await ask('listResources', () => client.listResources({}, options));
  await ask('listResourceTemplates', () => client.listResourceTemplates({}, options));
  for (const { name } of seen.listTools.tools ?? []) {
    if (LEFT_OUT.has(name)) continue;
    await ask(`tool ${name}`, () => client.callTool({ name, arguments: ARGUMENTS[name] ?? {} }, options));
  }
  for (const { name, arguments: wanted = [] } of seen.listPrompts.prompts ?? []) {
    const given = Object.fromEntries(wanted.map(one => [one.name, '1']));
    await ask(`prompt ${name}`, () => client.getPrompt({ name, arguments: given }, options));
  }
  for (const { uri } of seen.listResources.resources ?? []) {
    await ask(`resource ${uri}`, () => client.readResource({ uri }, options));
  }
  await client.close();
  return seen;
}

const argv = process.argv.slice(2);
const cut = argv.indexOf('--');
const { values } = parseArgs({
  args: argv.slice(0, cut),
  options: { era: { type: 'string', default: 'both' }, guard: { type: 'string' } },
});
const command = argv.slice(cut + 1);
const [same, other] = [[], []];
for (const era of values.era === 'both' ? ['legacy', 'modern'] : [values.era]) {
  const home = mkdtempSync(join(tmpdir(), 'etdi-'));
  const [first, second] = [await answers(command, era, home), await answers(command, era, home)];
  const guarded = await answers([...values.guard.split(' '), '--', ...command], era, home);
  rmSync(home, { recursive: true });
  const text = value => JSON.stringify(value ?? null);
  for (const name of new Set([...Object.keys(first), ...Object.keys(guarded)])) {
    const [without, again, withGuard] = [first, second, guarded].map(all => text(all[name]));
    if (without !== again) continue;
    if (without === withGuard) same.push(`${era} ${name}`);
    else other.push({ what: `${era} ${name}`, without: first[name], with: guarded[name] });
  }
}
console.log(JSON.stringify({ same, other }));
console.log(`${same.length} passed, ${other.length} failed`);
process.exit(other.length === 0 && same.length > 0 ? 0 : 1);
