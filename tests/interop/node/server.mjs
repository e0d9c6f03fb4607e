// A server on the published TypeScript library (`@modelcontextprotocol/server`),
// both eras, for our client: on standard streams, or behind Streamable HTTP with
// `--http PORT`. It offers what ../README.md asks of every server here.
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { NodeStreamableHTTPServerTransport, toNodeHandler, toWebRequest } from '@modelcontextprotocol/node';
import { createMcpHandler, inputRequired, isLegacyRequest, McpServer, ResourceTemplate } from '@modelcontextprotocol/server';
import { serveStdio } from '@modelcontextprotocol/server/stdio';
import * as z from 'zod/v4';

const text = text => ({ content: [{ type: 'text', text }] });

const QUESTION = {
  message: 'What is your name?',
  requestedSchema: { type: 'object', properties: { name: { type: 'string' } }, required: ['name'] },
};

/** The answer to the question: by a request in the handshake's era, by a retry after it. */
async function answer(era, { mcpReq }) {
  return era === 'legacy' ? mcpReq.elicitInput({ mode: 'form', ...QUESTION }) : mcpReq.inputResponses?.name;
}

function build({ era }) {
  const server = new McpServer({ name: 'interop-typescript', version: '1.0.0' });
  server.registerTool(
    'echo',
    { description: 'Gives its message back.', inputSchema: z.object({ message: z.string() }) },
    ({ message }) => text(`echo: ${message}`),
  );
  server.registerTool(
    'slow',
    {
      description: 'Counts its steps, one progress notification each.',
      inputSchema: z.object({ steps: z.number().int().default(3), delay_ms: z.number().int().default(20) }),
    },
    async ({ steps, delay_ms }, { mcpReq }) => {
      const progressToken = mcpReq._meta?.progressToken;
      for (let progress = 1; progress <= steps; progress += 1) {
        if (progressToken !== undefined) {
          const params = { progressToken, progress, total: steps, message: `step ${progress}` };
          await mcpReq.notify({ method: 'notifications/progress', params });
        }
        await sleep(delay_ms);
      }
      return text(`slow done: ${steps}`);
    },
  );
  server.registerTool(
    'ask',
    { description: 'Asks the user for a name.', inputSchema: z.object({}) },
    async (_arguments, context) => {
      const answered = await answer(era, context);
      if (!answered) return inputRequired({ inputRequests: { name: inputRequired.elicit(QUESTION) } });
      const { action, content } = answered;
      return text(action === 'accept' ? `hello ${content.name}` : `ask ${action}`);
    },
  );
  const mimeType = 'text/plain';
  server.registerResource(
    'static',
    'interop://static',
    { description: 'A text that never changes.', mimeType },
    ({ href: uri }) => ({ contents: [{ uri, mimeType, text: 'static text' }] }),
  );
  server.registerResource(
    'greeting',
    new ResourceTemplate('interop://greeting/{name}', { list: undefined }),
    { description: 'A greeting for each name.', mimeType },
    ({ href: uri }, { name }) => ({ contents: [{ uri, mimeType, text: `greeting for ${decodeURIComponent(name)}` }] }),
  );
  server.registerPrompt(
    'greet',
    { description: 'Asks to greet somebody.', argsSchema: z.object({ name: z.string() }) },
    ({ name }) => ({ messages: [{ role: 'user', content: { type: 'text', text: `Please greet ${name}` } }] }),
  );
  return server;
}

/** One endpoint for both eras: the library serves the modern one, sessions of the older are kept here. */
function serveHttp(port) {
  const modern = toNodeHandler(createMcpHandler(build, { legacy: 'reject' }));
  const sessions = new Map();

  async function session(request) {
    const known = sessions.get(request.headers['mcp-session-id']);
    if (known) return known;
    const transport = new NodeStreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      onsessioninitialized: id => { sessions.set(id, transport); },
      onsessionclosed: id => { sessions.delete(id); },
    });
    await build({ era: 'legacy' }).connect(transport);
    return transport;
  }

  createServer(async (request, response) => {
    const asked = await toWebRequest(request);
    const body = request.method === 'POST' ? await asked.clone().json() : undefined;
    if (!(await isLegacyRequest(asked))) return modern(request, response, body);
    return (await session(request)).handleRequest(request, response, body);
  }).listen(port, '127.0.0.1');
}

const [option, port, ...rest] = process.argv.slice(2);
if (option === undefined) {
  serveStdio(build);
} else if (option === '--http' && Number(port) > 0 && rest.length === 0) {
  serveHttp(Number(port));
} else {
  console.error('usage: node server.mjs [--http PORT]');
  process.exit(2);
}
