// A stdio server on the published TypeScript library
// (`@modelcontextprotocol/server`), both eras, for our client. It offers what
// ../README.md asks of every server here.
import { setTimeout as sleep } from 'node:timers/promises';
import { McpServer } from '@modelcontextprotocol/server';
import { serveStdio } from '@modelcontextprotocol/server/stdio';
import * as z from 'zod/v4';

const text = text => ({ content: [{ type: 'text', text }] });

function build() {
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
  return server;
}

serveStdio(build);
