// An agent with one tool, on either official SDK: `node typescript_agent.mjs PORT NAME current|session|stateless`. The
// current one speaks every revision; the older one with sessions, or without them.

import { randomUUID } from "node:crypto";
import { createServer } from "node:http";

import { toNodeHandler } from "@modelcontextprotocol/node";
import { McpServer, createMcpHandler } from "@modelcontextprotocol/server";
import { McpServer as OldServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { z } from "zod";

const [port, name, mode] = process.argv.slice(2);

function offering(Server, inputSchema) {
  const server = new Server({ name, version: "1" });
  const greet = async ({ whom }) => ({ content: [{ type: "text", text: `hello ${whom} from ${name}` }] });
  server.registerTool(`greet_${name}`, { description: "Greets somebody.", inputSchema }, greet);
  return server;
}

const older = () => offering(OldServer, { whom: z.string() });

async function stateless(request, response) {
  const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined });
  await older().connect(transport);
  await transport.handleRequest(request, response);
}

const sessions = new Map();

async function session(request, response) {
  let transport = sessions.get(request.headers["mcp-session-id"]);
  if (!transport) {
    transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      onsessioninitialized: (id) => sessions.set(id, transport),
    });
    await older().connect(transport);
  }
  await transport.handleRequest(request, response);
}

const current = () => toNodeHandler(createMcpHandler(() => offering(McpServer, z.object({ whom: z.string() }))));
const handlers = { current, session: () => session, stateless: () => stateless };
createServer(handlers[mode]()).listen(Number(port), "127.0.0.1");
