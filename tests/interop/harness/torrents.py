"""Payloads and .torrent files, made here so that the tests depend on nobody's idea of the format."""
import hashlib
import os
import random
from pathlib import Path


def bencode(value):
    if isinstance(value, bool):
        raise TypeError("bencoding has no booleans")
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return b"%d:%s" % (len(value), value)
    if isinstance(value, (list, tuple)):
        return b"l" + b"".join(bencode(item) for item in value) + b"e"
    items = sorted((key.encode() if isinstance(key, str) else key, item) for key, item in value.items())
    return b"d" + b"".join(bencode(key) + bencode(item) for key, item in items) + b"e"


def bdecode(data):
    value, end = _decode(data, 0)
    if end != len(data):
        raise ValueError("bytes after the value")
    return value


def _decode(data, at):
    kind = data[at : at + 1]
    if kind == b"i":
        end = data.index(b"e", at)
        return int(data[at + 1 : end]), end + 1
    if kind in (b"l", b"d"):
        items, at = [], at + 1
        while data[at : at + 1] != b"e":
            item, at = _decode(data, at)
            items.append(item)
        if kind == b"l":
            return items, at + 1
        return dict(zip(items[::2], items[1::2])), at + 1
    colon = data.index(b":", at)
    size = int(data[at:colon])
    return data[colon + 1 : colon + 1 + size], colon + 1 + size


class Torrent:
    """A .torrent file over files of a folder."""

    def __init__(self, path, info, trackers=()):
        self.path = Path(path)
        self.info = info
        metainfo = {"info": info}
        if trackers:
            metainfo["announce"] = trackers[0]
            metainfo["announce-list"] = [[url] for url in trackers]
        self.info_hash = hashlib.sha1(bencode(info)).digest()
        self.hex = self.info_hash.hex()
        self.name = info["name"]
        self.piece_size = info["piece length"]
        self.pieces = len(info["pieces"]) // 20
        self.size = info["length"] if "length" in info else sum(entry["length"] for entry in info["files"])
        self.path.write_bytes(bencode(metainfo))


def make_payload(folder, name, files, seed=1):
    """Writes `files` [(relative path, size)] below folder/name with bytes that nobody can guess; returns them."""
    source = random.Random(seed)
    for relative, size in files:
        path = Path(folder, name, relative)
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "wb") as out:
            left = size
            while left > 0:
                step = min(left, 1 << 20)
                out.write(source.randbytes(step))
                left -= step
    return files


def many_files(total, seed=1):
    """Sizes that meet every edge: empty files, files within a block and within a piece, files over many pieces; `total` bytes in all."""
    source = random.Random(seed)
    files, left, number = [("empty/nothing here", 0), ("one byte", 1), ("a block", 16384), (".hidden", 16385)], total - 1 - 16384 - 16385, 0
    while left > 0:
        size = min(left, source.choice([0, 1, 100, 16383, 32768, 262144, 262145, 1 << 20, 5_000_000, 9_999_999]))
        files.append((f"folder {number % 7}/file {number:03d}", size))
        left -= size
        number += 1
    files.append(("z/\u00e4\u00f6\u00fc \u65e5\u672c/last", 0))
    return sorted(files, key=lambda entry: entry[0].encode())


def make_torrent(path, folder, name, files, piece_size=262144, trackers=(), single=False):
    """The .torrent of what make_payload wrote. `single`: of one file, which is folder/name itself."""
    pieces, buffer = [], b""
    for relative, _ in files:
        with open(Path(folder, name) if single else Path(folder, name, relative), "rb") as source:
            while True:
                data = source.read(piece_size - len(buffer))
                if not data:
                    break
                buffer += data
                if len(buffer) == piece_size:
                    pieces.append(hashlib.sha1(buffer).digest())
                    buffer = b""
    if buffer:
        pieces.append(hashlib.sha1(buffer).digest())
    info = {"name": name, "piece length": piece_size, "pieces": b"".join(pieces)}
    if single:
        info["length"] = files[0][1]
    else:
        info["files"] = [{"length": size, "path": relative.split("/")} for relative, size in files]
    return Torrent(path, info, trackers)


def digest(folder, empty=True):
    """One hash over the names, sizes and bytes of all files below a folder, with or without empty ones (transmission makes none)."""
    out = hashlib.sha256()
    for path in sorted(Path(folder).rglob("*"), key=lambda entry: os.fsencode(entry)):
        if path.is_file() and (empty or path.stat().st_size > 0):
            out.update(os.fsencode(path.relative_to(folder)) + b"\0%d\0" % path.stat().st_size)
            with open(path, "rb") as source:
                while data := source.read(1 << 20):
                    out.update(data)
    return out.hexdigest()
