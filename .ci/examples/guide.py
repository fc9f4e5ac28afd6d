"""What a guide in Markdown tells its reader to type, section by section."""

import re
from dataclasses import dataclass

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SECTION = re.compile(r"^## (.+)\n", re.MULTILINE)


@dataclass
class Step:
    """Commands, and what the guide says they print; nothing where it does not say."""

    commands: str
    printed: str | None = None


def steps(guide: str) -> dict[str, list[Step]]:
    """The shell blocks of each section by its heading, each with the `text` block behind it."""
    _, *parts = SECTION.split(guide)
    return {heading: section_steps(body) for heading, body in zip(parts[::2], parts[1::2], strict=True)}


def section_steps(body: str) -> list[Step]:
    """The steps of one section."""
    found: list[Step] = []
    for language, content in BLOCK.findall(body):
        if language == "sh":
            found.append(Step(content))
        elif language == "text" and found and found[-1].printed is None:
            found[-1].printed = content
        else:
            raise ValueError(f"a block is neither sh nor the text that one prints: ```{language}\n{content}")
    return found
