// A stdio server on the published TypeScript library
// (`@modelcontextprotocol/server`), both eras, for our client. It offers what
// ../README.md asks of every server here.
import { setTimeout as sleep } from 'node:timers/promises';
import { inputRequired, McpServer } from '@modelcontextprotocol/server';
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
  return server;
}

serveStdio(build);
