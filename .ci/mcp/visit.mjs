// What a TypeScript client does with agents that are not a registry: finds the tool of each and calls it.

import assert from "node:assert/strict";

// Many times what a visit takes: a client that does not understand a server may wait for ever.
const VISIT_MS = 30_000;

async function visit(client, transport, tool) {
  await client.connect(transport);
  const { tools } = await client.listTools();
  const named = tools.filter(({ name }) => name.endsWith(tool));
  assert.equal(named.length, 1, JSON.stringify(tools));
  const { content } = await client.callTool({ name: named[0].name, arguments: { whom: "you" } });
  assert.match(content[0].text, /^hello you from /);
}

/**
 * Prints a line for each client and target, which is a URL and the end of a tool's name: the client, the URL and why the
 * tool cannot be called there; null when it can.
 */
export async function visitAll(clients, targets) {
  for (const [label, create, Transport] of clients) {
    for (const [url, tool] of targets) {
      const client = create();
      let fault = null;
      const late = new Promise((_, reject) => setTimeout(reject, VISIT_MS, new Error("it takes too long")).unref());
      try {
        await Promise.race([visit(client, new Transport(new URL(url)), tool), late]);
      } catch (error) {
        fault = String(error);
      }
      await client.close().catch(() => {});
      console.log(JSON.stringify([label, url, tool, fault]));
    }
  }
}
