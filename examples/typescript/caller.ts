// The smallest caller: one POST to the sidecar's port on localhost, with nothing but fetch.
//
//     node caller.ts reverse_words text="the mesh finds it"

const MESH = process.env.MESH_URL ?? "http://127.0.0.1:15001";

/** Calls whoever in the mesh offers the capability and returns the result of its tool. */
async function call(capability: string, args: Record<string, unknown>): Promise<any> {
  const answer = await fetch(`${MESH}/call/${encodeURIComponent(capability)}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(args),
    signal: AbortSignal.timeout(30_000),
  });
  if (!answer.ok) throw new Error(`${answer.status}: ${await answer.text()}`);
  return answer.json();
}

const [capability, ...pairs] = process.argv.slice(2);
if (capability === undefined) throw new Error('usage: node caller.ts CAPABILITY NAME="value" …');
const args = Object.fromEntries(pairs.map((pair) => [pair.split("=", 1)[0], pair.slice(pair.indexOf("=") + 1)]));
const result = await call(capability, args);
// What went wrong in the tool itself stands in the content.
console.log(JSON.stringify(result.structuredContent ?? result.content));
process.exitCode = result.isError ? 1 : 0;
