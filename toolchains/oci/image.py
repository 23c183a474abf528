#!/usr/bin/python3
"""Makes an OCI image from scratch: the static programs, a configuration, an empty state folder and nothing else. No daemon, no base image; the
same programs give the same bytes.

usage: image.py MILLETD OUT.tar [--millet FILE] [--config FILE] [--tag NAME]

MILLETD is a static program (millet in it by multi-call, or beside it by --millet). OUT.tar is an OCI image layout: `skopeo copy
oci-archive:OUT.tar docker-daemon:millet:TAG`, `podman load -i OUT.tar`, or `docker load -i OUT.tar` (25 and newer).
"""
import argparse
import gzip
import hashlib
import io
import json
import pathlib
import struct
import sys
import tarfile

USER = 6881  # of nothing else: there is no other user in the image
MACHINES = {62: ("amd64", None), 183: ("arm64", "v8"), 40: ("arm", "v5"), 8: ("mips", None), 3: ("386", None)}
PT_INTERP = 3
ARM_HARD_FLOAT = 0x400  # flag of programs of the ARM ABI with registers of a floating-point unit: here those for v7


def die(what):
    print(f"image.py: {what}", file=sys.stderr)
    sys.exit(1)


def machine_of(path):
    """The architecture of a static program, as OCI names it."""
    data = path.read_bytes()
    if data[:4] != b"\x7fELF":
        die(f"{path} is no program")
    order = "<" if data[5] == 1 else ">"
    wide = data[4] == 2
    machine = struct.unpack_from(order + "H", data, 18)[0]
    offset = struct.unpack_from(order + ("Q" if wide else "I"), data, 32 if wide else 28)[0]
    size, count = struct.unpack_from(order + "HH", data, 54 if wide else 42)
    kinds = [struct.unpack_from(order + "I", data, offset + i * size)[0] for i in range(count)]
    if PT_INTERP in kinds:
        die(f"{path} is not static: an image from scratch has no loader and no libraries; build it with ./toolchains/dev cross")
    if machine not in MACHINES:
        die(f"{path}: machine {machine} is not known")
    name, variant = MACHINES[machine]
    if name == "arm" and struct.unpack_from(order + "I", data, 36)[0] & ARM_HARD_FLOAT:
        variant = "v7"
    if name == "mips":
        name = ("mips64" if wide else "mips") + ("le" if order == "<" else "")
    return name, variant


class Archive:
    """A tar whose bytes depend on its content only."""

    def __init__(self):
        self.bytes = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.bytes, mode="w", format=tarfile.USTAR_FORMAT)

    def add(self, name, data=None, mode=0o644, owner=0, link=None):
        entry = tarfile.TarInfo(name)
        entry.mode, entry.uid, entry.gid = mode, owner, owner
        if link is not None:
            entry.type, entry.linkname = tarfile.SYMTYPE, link
        elif data is None:
            entry.type = tarfile.DIRTYPE
        else:
            entry.size = len(data)
        self.tar.addfile(entry, None if data is None else io.BytesIO(data))

    def close(self):
        self.tar.close()
        return self.bytes.getvalue()


def make_layer(arguments):
    layer = Archive()
    for folder in ("etc", "etc/millet", "usr", "usr/bin"):
        layer.add(folder, mode=0o755)
    layer.add("etc/passwd", f"root:x:0:0::/:\nmillet:x:{USER}:{USER}::/state:\n".encode())
    layer.add("etc/group", f"root:x:0:\nmillet:x:{USER}:\n".encode())
    layer.add("etc/millet/millet.conf", arguments.config.read_bytes())
    layer.add("usr/bin/milletd", arguments.milletd.read_bytes(), mode=0o755)
    if arguments.millet:
        layer.add("usr/bin/millet", arguments.millet.read_bytes(), mode=0o755)
    else:
        layer.add("usr/bin/millet", mode=0o777, link="milletd")
    for volume in ("data", "state"):
        layer.add(volume, mode=0o700 if volume == "state" else 0o755, owner=USER)
    return layer.close()


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def make_image(arguments):
    architecture, variant = machine_of(arguments.milletd)
    if arguments.millet and machine_of(arguments.millet) != (architecture, variant):
        die(f"{arguments.millet} is for another machine than {arguments.milletd}")
    layer = make_layer(arguments)
    packed = gzip.compress(layer, compresslevel=9, mtime=0)
    platform = {"architecture": architecture, "os": "linux", **({"variant": variant} if variant else {})}
    config = {
        **platform,
        "config": {
            "User": f"{USER}:{USER}",
            "Entrypoint": ["/usr/bin/milletd", "--config", "/etc/millet/millet.conf", "--state", "/state", "--set", "node.data=/data"],
            "ExposedPorts": {"6881/tcp": {}, "6881/udp": {}},
            "Volumes": {"/data": {}, "/state": {}},
            "WorkingDir": "/",
            "StopSignal": "SIGTERM",
            "Labels": {"org.opencontainers.image.title": "millet", "org.opencontainers.image.licenses": "Apache-2.0"},
        },
        "rootfs": {"type": "layers", "diff_ids": [sha256(layer)]},
        "history": [{"created_by": "toolchains/oci/image.py"}],
    }

    def dump(value):
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()

    blobs = {}

    def blob(kind, data):
        blobs[sha256(data)] = data
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": sha256(data), "size": len(data)}

    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": blob("config.v1+json", dump(config)),
                "layers": [blob("layer.v1.tar+gzip", packed)]}
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
             "manifests": [{**blob("manifest.v1+json", dump(manifest)), "platform": platform, "annotations": {"org.opencontainers.image.ref.name": arguments.tag}}]}
    image = Archive()
    image.add("blobs", mode=0o755)
    image.add("blobs/sha256", mode=0o755)
    for digest in sorted(blobs):
        image.add("blobs/sha256/" + digest.split(":")[1], blobs[digest])
    image.add("index.json", dump(index))
    image.add("oci-layout", dump({"imageLayoutVersion": "1.0.0"}))
    return image.close()


def main():
    here = pathlib.Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description="Makes an OCI image of static programs.")
    parser.add_argument("milletd", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--millet", type=pathlib.Path, help="the command line, where milletd is not both")
    parser.add_argument("--config", type=pathlib.Path, default=here.parents[1] / "config/millet.conf")
    parser.add_argument("--tag", default="latest")
    arguments = parser.parse_args()
    for path in (arguments.milletd, arguments.millet, arguments.config):
        if path is not None and not path.is_file():
            die(f"there is no file {path}")
    arguments.out.write_bytes(make_image(arguments))


if __name__ == "__main__":
    main()
