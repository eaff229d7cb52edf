"""Which functions of Swift's runtime, and which allocators, the functions of a binary call."""

import re
import subprocess
from pathlib import Path

# References counted, memory asked for, protocols and types looked up, exclusive access checked.
COSTLY = re.compile(
    r"^(swift_(retain|release|bridgeObject|unknownObject|alloc|slowAlloc|dealloc|slowDealloc|initStackObject|beginAccess"
    r"|endAccess|dynamicCast|getWitnessTable|getAssociated|conformsTo|getGenericMetadata|isUniquelyReferenced|makeBoxUnique"
    r"|willThrow)\w*|__swift_(project|destroy|allocate)_boxed\w*|__swift_instantiate\w*|malloc|calloc|realloc|free"
    r"|memalign|posix_memalign)$")
INDIRECT = "a function that is only known at run time"


def output(command: list, text: str | None = None) -> str:
    return subprocess.run([str(word) for word in command], input=text, capture_output=True, text=True, check=True).stdout


def costly_calls(binary: Path) -> dict[str, dict[str, int]]:
    """By function, as Swift writes it (C's by its name): the costly functions that it calls, and from how many places."""
    calls: dict[str, dict[str, int]] = {}
    found: dict[str, int] = {}
    last, is_padded = "", False
    for line in output(["objdump", "-d", "--no-show-raw-insn", binary]).splitlines():
        if line.endswith(">:"):
            found = calls.setdefault(line[line.index("<") + 1:-2], {})
            is_padded = False
            continue
        instruction = re.match(r" +([0-9a-f]+):\t(?:data16 |cs )*(\w+)", line)
        if not instruction:
            continue
        address, name = instruction.groups()
        if name.startswith("nop"):
            is_padded = True
            continue
        # The compiler's own functions that keep a lazily made witness table (its symbol ends in WL) may have no name, and
        # would count as the end of the one before them.
        if is_padded and last in ("ret", "ud2") and re.search(r"\tmov +0x\w+\(%rip\),%rax +# \w+ <\$s\w+WL>", line):
            found = calls.setdefault(f"witness table at {address}", {})
        last, is_padded = name, False
        call = re.search(r"\t(call|jmp) +(\*|[0-9a-f]+ <([^>+]+))", line)
        if not call:
            continue
        if call[2] == "*":
            # A jump by a table is a switch.
            name = INDIRECT if call[1] == "call" else None
        else:
            name = call[3].removesuffix("@plt")
            name = name if COSTLY.match(name) else None
        if name:
            found[name] = found.get(name, 0) + 1
    names = output(["swift", "demangle", "--simplified"], "\n".join(calls)).splitlines()
    merged: dict[str, dict[str, int]] = {}
    for name, counts in zip(names, calls.values(), strict=True):
        into = merged.setdefault(name, {})
        for callee, count in counts.items():
            into[callee] = into.get(callee, 0) + count
    return merged
