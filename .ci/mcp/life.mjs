// What every TypeScript client does: reads the list of tools, leads an agent through its life, and makes two mistakes.

import assert from "node:assert/strict";

const TOOLS = ["discover_services", "get_agent_status", "heartbeat", "list_capabilities", "register_agent", "unregister_agent"];
const INVALID_PARAMS = -32602;

/** `client` is a connected client of either SDK: both have the same methods. */
export async function lead(client, agent) {
  const call = (name, args) => client.callTool({ name, arguments: args });
  const done = async (name, args) => {
    const result = await call(name, args);
    assert.ok(!result.isError, `${name}: ${JSON.stringify(result)}`);
    assert.deepEqual(JSON.parse(result.content[0].text), result.structuredContent);
    return result.structuredContent;
  };
  const refused = async (name, args) => {
    const result = await call(name, args);
    assert.equal(result.isError, true, `${name}: ${JSON.stringify(result)}`);
    return JSON.parse(result.content[0].text);
  };

  // With the list the client learns the output schemas, by which it checks every result from here on.
  const { tools } = await client.listTools();
  assert.deepEqual(tools.map((tool) => tool.name).sort(), TOOLS);
  const document = { id: agent, endpoint: "http://127.0.0.1:9/mcp", capabilities: [{ name: agent, tags: ["x"] }] };
  assert.equal((await done("register_agent", { registration_data: document })).agent_id, agent);
  assert.equal((await done("heartbeat", { agent_id: agent })).status, "success");
  assert.equal((await done("get_agent_status", { agent_id: agent })).status, "healthy");
  const { agents } = await done("discover_services", { capability: agent, status: ["healthy"] });
  assert.deepEqual(agents.map((one) => one.id), [agent]);
  const { capabilities } = await done("list_capabilities", { name: agent, tags: ["x"] });
  assert.deepEqual(capabilities.map((one) => one.agent_id), [agent]);
  assert.equal((await done("unregister_agent", { agent_id: agent })).status, "success");

  assert.equal((await refused("get_agent_status", { agent_id: agent })).code, "agent_not_found");
  assert.match((await refused("register_agent", { registration_data: { name: "no id" } })).error, /'id' field is required/);
  await assert.rejects(call("no_such_tool", {}), (error) => error.code === INVALID_PARAMS);
}
