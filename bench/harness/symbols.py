"""Where functions lie in a running process: which mapped file has the symbol, and whether a probe sits on it by now."""
import re
import struct
from dataclasses import dataclass

SHT_SYMTAB, SHT_DYNSYM, PT_LOAD, STT_FUNC = 2, 11, 1, 2


@dataclass(frozen=True)
class Symbol:
    name: str
    file: str
    offset: int  # in the file
    address: int  # in the process
    original: bytes  # the first bytes as the file has them


def mapped_files(pid):
    """{path: [(start, file offset, size)]} of the executable mappings. Paths are as the process sees them."""
    files = {}
    with open(f"/proc/{pid}/maps") as f:
        for line in f:
            m = re.match(r"([0-9a-f]+)-([0-9a-f]+) ..x. ([0-9a-f]+) \S+ [1-9]\d*\s+(/.*)$", line.rstrip("\n"))
            if m:
                start, end, offset = (int(m[i], 16) for i in (1, 2, 3))
                files.setdefault(m[4], []).append((start, offset, end - start))
    return files


def file_offset(data, address):
    """Where the byte at a virtual address lies in a 64-bit little-endian ELF file."""
    phoff, = struct.unpack_from("<Q", data, 32)
    phentsize, phnum = struct.unpack_from("<HH", data, 54)
    for i in range(phnum):
        kind, _, offset, start, _, size = struct.unpack_from("<IIQQQQ", data, phoff + i * phentsize)
        if kind == PT_LOAD and start <= address < start + size:
            return address - start + offset
    raise ValueError(f"no segment has {address:#x}")


def functions(data, names):
    """{name: file offset} of the defined functions among `names` in a 64-bit little-endian ELF file."""
    if data[:6] != b"\x7fELF\x02\x01":
        return {}
    phoff, shoff = struct.unpack_from("<QQ", data, 32)
    phentsize, phnum, shentsize, shnum = struct.unpack_from("<HHHH", data, 54)
    segments = []
    for i in range(phnum):
        kind, _, offset, address, _, size = struct.unpack_from("<IIQQQQ", data, phoff + i * phentsize)
        if kind == PT_LOAD:
            segments.append((address, size, offset))
    sections = [struct.unpack_from("<IIQQQQII", data, shoff + i * shentsize) for i in range(shnum)]
    found = {}
    for _, kind, _, _, offset, size, link, _ in sections:
        if kind not in (SHT_SYMTAB, SHT_DYNSYM):
            continue
        strings = sections[link][4]
        for at in range(offset, offset + size, 24):
            name_at, info, _, section, value, _ = struct.unpack_from("<IBBHQQ", data, at)
            if info & 15 != STT_FUNC or section == 0:
                continue
            end = data.index(b"\0", strings + name_at)
            name = data[strings + name_at:end].decode(errors="replace").split("@")[0]
            if name in names and name not in found:
                for address, bytes_, file_offset in segments:
                    if address <= value < address + bytes_:
                        found[name] = value - address + file_offset
    return found


def find(pid, names):
    """Every place in `pid` where one of `names` is defined. Two names of one function give one symbol, the first."""
    wanted = set(names)
    result = []
    for path, mappings in mapped_files(pid).items():
        try:
            with open(f"/proc/{pid}/root{path}", "rb") as f:
                data = f.read()
        except OSError:
            continue
        seen = set()
        offsets = functions(data, wanted)
        for name in names:
            offset = offsets.get(name)
            if offset is None or offset in seen:
                continue
            for start, file_offset, size in mappings:
                if file_offset <= offset < file_offset + size:
                    seen.add(offset)
                    result.append(Symbol(name, path, offset, start + offset - file_offset, data[offset:offset + 8]))
    return result


def is_probed(pid, symbol):
    """A uprobe replaces the first instruction in the process's memory; the file keeps it."""
    with open(f"/proc/{pid}/mem", "rb") as f:
        f.seek(symbol.address)
        return f.read(len(symbol.original)) != symbol.original
