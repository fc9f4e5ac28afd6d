// The smallest agent: an MCP server with one tool, on the official SDK. It has never heard of the mesh.
//
//     node agent.ts        # PORT and HOST in the environment

import { createServer } from "node:http";

import { localhostOriginValidation, toNodeHandler } from "@modelcontextprotocol/node";
import { createMcpHandler, McpServer } from "@modelcontextprotocol/server";
import { z } from "zod";

function agent(): McpServer {
  const agent = new McpServer({ name: "counter", version: "1.0.0" });
  agent.registerTool(
    "count_words",
    {
      description: "Counts the words of a text.",
      inputSchema: z.object({ text: z.string() }),
      outputSchema: z.object({ words: z.int() }),
      // The hints let a sidecar try another replica when a call fails half way.
      annotations: { readOnlyHint: true, idempotentHint: true },
    },
    async ({ text }, { mcpReq }) => {
      const words = text.split(/\s+/).filter(Boolean);
      // Only a caller that listens sends a token.
      const progressToken = mcpReq._meta?.progressToken;
      if (progressToken !== undefined) {
        for (const [index, message] of words.entries()) {
          const params = { progressToken, progress: index + 1, total: words.length, message };
          await mcpReq.notify({ method: "notifications/progress", params });
        }
      }
      const result = { words: words.length };
      return { content: [{ type: "text", text: JSON.stringify(result) }], structuredContent: result };
    },
  );
  return agent;
}

const handle = toNodeHandler(createMcpHandler(agent));
// No web page may call the agent through a browser on this host.
const isWelcome = localhostOriginValidation();
createServer((request, response) => {
  if (isWelcome(request, response)) void handle(request, response);
}).listen(Number(process.env.PORT ?? 8002), process.env.HOST ?? "127.0.0.1");
