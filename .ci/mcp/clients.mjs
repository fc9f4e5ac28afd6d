// The official TypeScript clients against a registry: `node clients.mjs URL`. Both SDKs, both eras.

import assert from "node:assert/strict";

import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { Client as OldClient } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport as OldTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

import { lead } from "./life.mjs";

const url = new URL(process.argv[2]);
const us = { name: "checks", version: "1" };

for (const [label, options, spoken] of [
  ["default", {}, "2025-11-25"],
  ["auto", { versionNegotiation: { mode: "auto" } }, "2026-07-28"],
]) {
  const client = new Client(us, options);
  await client.connect(new StreamableHTTPClientTransport(url));
  assert.equal(client.getNegotiatedProtocolVersion(), spoken);
  await lead(client, `typescript-${label}`);
  await client.close();
  console.log(`ok   @modelcontextprotocol/client, ${label}: ${spoken}`);
}

const client = new OldClient(us);
const transport = new OldTransport(url);
await client.connect(transport);
await client.ping();
await lead(client, "typescript-older");
await client.close();
console.log(`ok   @modelcontextprotocol/sdk: ${transport.protocolVersion}`);
