#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Refill the comments of C files that have lines over the limit; leaves all others alone.

    tests/tidy/rewrap.py FILE...

clang-format would refill every comment and run lists and "Returns" lines together. This touches
only paragraphs with a line over the limit: a paragraph ends at an empty line, at a line indented
otherwise, and before a line that starts a list or a heading word. A long comment behind code moves
above it.
"""
import re
import sys
import textwrap

LIMIT = 100
TAB = 8
# A list's item, a heading word, or a table's row: a few words, a gap, and the rest.
ROW = r"\S(.{0,30}?\S)? {2,}(?=\S)"
STARTS = re.compile(r"[-*•] |\d+\. |(Returns?|Suspends|Thread|Lends|Takes)\b|" + ROW)


def columns(line):
    return len(line.expandtabs(TAB))


def fill(text, first, rest):
    """Break `text` into lines that start with `first`, then `rest`; tabs count as they show."""
    wide = lambda prefix: prefix.expandtabs(TAB)
    lines = textwrap.wrap(text, LIMIT, initial_indent=wide(first), subsequent_indent=wide(rest),
                          break_long_words=False, break_on_hyphens=False)
    return [(first if i == 0 else rest) + line[len(wide(first if i == 0 else rest)):]
            for i, line in enumerate(lines)]


def block(indent, text):
    one = f"{indent}/* {text} */"
    if columns(one) <= LIMIT:
        return [one]
    return [indent + "/*", *fill(text, indent + " * ", indent + " * "), indent + " */"]


def paragraph(lines, start):
    """Lines [start, end) that make one paragraph of a block comment, and its prefixes."""
    match = re.match(r"(\s*\*)(\s+)", lines[start])
    prefix = match.group(0)
    end = start + 1
    hang = prefix
    if STARTS.match(lines[start][len(prefix):]) and end < len(lines):
        after = re.match(r"\s*\*\s+", lines[end])
        if after and len(after.group(0)) > len(prefix):
            hang = after.group(0)
        elif row := re.match(ROW, lines[start][len(prefix):]):
            hang = prefix + " " * len(row.group(0))
    while end < len(lines):
        after = re.match(r"\s*\*\s+(?=[^\s/])", lines[end])
        if not after or after.group(0) != hang or STARTS.match(lines[end][len(hang):]):
            break
        end += 1
    return end, prefix, hang


def rewrap(lines):
    out = []
    i = 0
    inside = False
    while i < len(lines):
        line = lines[i]
        opens = re.match(r"(\s*)/\*(.*)$", line)
        behind = re.match(r"(\s*)(.*\S)\s+/\* (.*) \*/$", line)
        if inside and re.match(r"\s*\*\s+[^\s/]", line):
            end, prefix, hang = paragraph(lines, i)
            group = lines[i:end]
            closes = group[-1].rstrip().endswith("*/")
            if any(columns(l) > LIMIT for l in group) and not closes:
                text = " ".join(l[len(prefix if n == 0 else hang):].strip()
                                for n, l in enumerate(group))
                group = fill(text, prefix, hang)
            out += group
            inside = not closes
            i = end
            continue
        if opens and "*/" not in line:
            inside = True
        elif inside and "*/" in line:
            inside = False
        elif opens and columns(line) > LIMIT and line.endswith("*/"):
            line = None
            out += block(opens.group(1), opens.group(2)[:-2].strip())
        elif behind and columns(line) > LIMIT and not line.endswith("\\"):
            line = None
            out += block(behind.group(1), behind.group(3)) + [behind.group(1) + behind.group(2)]
        if line is not None:
            out.append(line)
        i += 1
    return out


def main():
    for path in sys.argv[1:]:
        with open(path, encoding="utf-8") as file:
            lines = file.read().split("\n")
        filled = rewrap(lines)
        if filled != lines:
            with open(path, "w", encoding="utf-8") as file:
                file.write("\n".join(filled))


if __name__ == "__main__":
    main()
