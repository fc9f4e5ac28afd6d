//! An agent that speaks MCP over its standard input and output, and misbehaves when told to.

fn main() {
    mesh_tests::stdio_agent::main();
}
