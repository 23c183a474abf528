"""The OCI image: its layout, that it is the same each time, and that its root runs without anything else.

usage: oci.py BUILD_DIR SOURCE_DIR

A static program of a few lines stands in for milletd; where `./toolchains/dev cross` has built the real ones for this machine, they are taken.
"""
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile

STAND_IN = r"""
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
int main(int argc, char** argv) {
  struct stat state;
  if (argc == 2 && strcmp(argv[1], "--version") == 0) return puts("milletd stand-in") < 0;
  if (stat("/state", &state) != 0 || stat("/etc/millet/millet.conf", &state) != 0) return 1;
  return 0;
}
"""


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


class Image:
    def __init__(self, work, build, source):
        self.work, self.build, self.source = pathlib.Path(work), pathlib.Path(build), pathlib.Path(source)
        real = sorted(self.source.glob(f"build/cross/{os.uname().machine}-musl/**/milletd"))
        self.program = real[0] if real else self.work / "milletd"
        if not real:
            (self.work / "milletd.c").write_text(STAND_IN)
            subprocess.run(["cc", "-static", "-o", self.program, self.work / "milletd.c"], check=True)
        self.path = self.make("one.tar", self.program)[1]
        with tarfile.open(self.path) as tar:
            self.files = {entry.name: tar.extractfile(entry).read() for entry in tar if entry.isfile()}

    def make(self, name, program, *words):
        out = self.work / name
        done = subprocess.run([self.source / "toolchains/oci/image.py", program, out, *words], capture_output=True, text=True, check=False)
        return done, out

    def blob(self, descriptor):
        data = self.files["blobs/" + descriptor["digest"].replace(":", "/")]
        expect(len(data) == descriptor["size"] and descriptor["digest"] == "sha256:" + hashlib.sha256(data).hexdigest(), f"{descriptor} is wrong")
        return data


def the_same_programs_give_the_same_bytes(image):
    expect(image.path.read_bytes() == image.make("two.tar", image.program)[1].read_bytes(), "a second image is another")


def the_layout_holds_together(image):
    """image-layout.md, manifest.md and config.md of the OCI image specification."""
    expect(json.loads(image.files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}, "oci-layout")
    (described,) = json.loads(image.files["index.json"])["manifests"]
    manifest = json.loads(image.blob(described))
    config = json.loads(image.blob(manifest["config"]))
    (layer,) = manifest["layers"]
    packed = image.work / "layer.tar.gz"
    packed.write_bytes(image.blob(layer))
    plain = subprocess.run(["gzip", "-dc", packed], capture_output=True, check=True).stdout
    expect(config["rootfs"]["diff_ids"] == ["sha256:" + hashlib.sha256(plain).hexdigest()], "diff_ids")
    expect(config["architecture"] == described["platform"]["architecture"] and config["os"] == "linux", "platform")
    used = {described["digest"], manifest["config"]["digest"], layer["digest"]}
    expect({"sha256:" + name.split("/")[2] for name in image.files if name.startswith("blobs/")} == used, "a blob that nobody names")
    expect(config["config"]["User"] == "6881:6881" and set(config["config"]["Volumes"]) == {"/data", "/state"}, "user and volumes")
    expect(set(config["config"]["ExposedPorts"]) == {"6881/tcp", "6881/udp"}, "ports")


def its_root_runs_alone(image):
    root = image.work / "root"
    root.mkdir()
    (described,) = json.loads(image.files["index.json"])["manifests"]
    manifest = json.loads(image.blob(described))
    packed = image.work / "layer.tar.gz"
    packed.write_bytes(image.blob(manifest["layers"][0]))
    subprocess.run(["tar", "--no-same-owner", "-xzf", packed, "-C", root], check=True)
    expect((root / "etc/millet/millet.conf").read_bytes() == (image.source / "config/millet.conf").read_bytes(), "another configuration")
    change = ["chroot", root] if os.geteuid() == 0 else ["unshare", "-r", "chroot", root]
    config = json.loads(image.blob(manifest["config"]))
    for words in (["/usr/bin/milletd", "--version"], ["/usr/bin/millet", "--version"], config["config"]["Entrypoint"] + ["--print-config"]):
        done = subprocess.run([*change, *words], capture_output=True, text=True, check=False)
        if "Operation not permitted" in done.stderr and os.geteuid() != 0:
            print("no user namespaces here: its root is not run")
            return
        expect(done.returncode == 0, f"{words}: {done.stdout}{done.stderr}")


def what_needs_a_loader_is_refused(image):
    done, out = image.make("dynamic.tar", image.build / "milletd")
    expect(done.returncode == 1 and "is not static" in done.stderr and not out.exists(), f"{done}")
    done, out = image.make("text.tar", image.source / "README.md")
    expect(done.returncode == 1 and "is no program" in done.stderr and not out.exists(), f"{done}")


def skopeo_takes_it(image):
    if shutil.which("skopeo") is None:
        print("skopeo is not installed: its part is skipped")
        return
    done = subprocess.run(["skopeo", "inspect", f"oci-archive:{image.path}:latest"], capture_output=True, text=True, check=False)
    expect(done.returncode == 0, done.stderr)


CASES = (the_same_programs_give_the_same_bytes, the_layout_holds_together, its_root_runs_alone, what_needs_a_loader_is_refused, skopeo_takes_it)


def main():
    failed = 0
    with tempfile.TemporaryDirectory(prefix="millet-oci-") as work:
        image = Image(work, *sys.argv[1:])
        for case in CASES:
            try:
                case(image)
            except AssertionError as reason:
                print(f"{case.__name__}: {reason}")
                failed += 1
    print(f"oci: {len(CASES) - failed} of {len(CASES)} cases")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
