// The official TypeScript clients against a registry, `node clients.mjs URL`, or agents: `node clients.mjs visit …`. Both
// SDKs, both eras.

import assert from "node:assert/strict";

import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { Client as OldClient } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport as OldTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

import { lead } from "./life.mjs";
import { visitAll } from "./visit.mjs";

const us = { name: "checks", version: "1" };
const modes = [
  ["default", {}, "2025-11-25"],
  ["auto", { versionNegotiation: { mode: "auto" } }, "2026-07-28"],
];

if (process.argv[2] === "visit") {
  const current = modes.map(([label, options]) => [
    `client ${label}`,
    () => new Client(us, options),
    StreamableHTTPClientTransport,
  ]);
  await visitAll([...current, ["sdk", () => new OldClient(us), OldTransport]], JSON.parse(process.argv[3]));
  process.exit();
}

const url = new URL(process.argv[2]);

for (const [label, options, spoken] of modes) {
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
