"""An agent with one tool, on FastMCP or the official SDK of any line: python python_agent.py PORT NAME SDK [stateless]"""

import sys

port, name, sdk, *modes = sys.argv[1:]
where = {"host": "127.0.0.1", "port": int(port)}
stateless = {"stateless_http": "stateless" in modes}


def greet(whom: str) -> str:
    """Greets somebody."""
    return f"hello {whom} from {name}"


if sdk == "fastmcp":
    from fastmcp import FastMCP

    agent, start = FastMCP(name), {"transport": "http", "show_banner": False, **where, **stateless}
else:
    try:
        from mcp.server.mcpserver import MCPServer

        agent, start = MCPServer(name), {"transport": "streamable-http", **where, **stateless}
    except ImportError:
        # Until 1.x the server itself was told where it listens.
        from mcp.server.fastmcp import FastMCP

        agent, start = FastMCP(name, **where, **stateless), {"transport": "streamable-http"}

agent.tool(name=f"greet_{name}")(greet)
agent.run(**start)
