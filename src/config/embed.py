#!/usr/bin/env python3
"""Turns a file into a C array: embed.py NAME INPUT OUTPUT."""
import sys

name, source, target = sys.argv[1:]
data = open(source, "rb").read()
with open(target, "w", encoding="ascii") as out:
    out.write("#include <stddef.h>\n\n")
    out.write(f"extern const char {name}_text[];\nextern const size_t {name}_bytes;\n\n")
    out.write(f"const char {name}_text[] = {{\n")
    for at in range(0, len(data), 20):
        row = (str(b if b < 128 else b - 256) for b in data[at : at + 20])
        out.write("\t" + ", ".join(row) + ",\n")
    out.write("\t0,\n};\n")
    out.write(f"const size_t {name}_bytes = sizeof {name}_text - 1;\n")
