"""OpenWrt's scripts under busybox's ash, with a stand-in for procd and uci (procd.sh) and the real milletd as judge of the configuration.

usage: rootfs.py MILLETD SOURCE_DIR
"""
import ctypes
import ctypes.util
import errno
import json
import os
import pathlib
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
import time

USER = pwd.getpwuid(os.getuid() or 65534).pw_name  # root's folders are given to nobody
STUB = pathlib.Path(__file__).with_name("procd.sh")
KEY = "ab" * 32


class Router:
    """A router's root in a folder: mounts, configuration, disks."""

    def __init__(self, folder, milletd, source):
        self.folder = pathlib.Path(folder)
        self.milletd = milletd
        self.rootfs = source / "rootfs"
        self.disk = self.folder / "disk"
        self.second = self.folder / "second"
        for disk in (self.disk, self.second):
            (disk / "torrents").mkdir(parents=True)
        self.mounts = {"/": "overlay", "/overlay": "ubifs", "/tmp": "tmpfs", str(self.folder): "overlay", str(self.disk): "ext4", str(self.second): "ext4"}
        self.config = {"node": {"data": f"{self.disk}/torrents/"}, "openwrt": {"user": USER}}
        self.seccomp = True
        self.ujail = milletd  # any program

    def set(self, **options):
        for name, value in options.items():
            section, option = name.split("__")
            self.config.setdefault(section, {})[option] = value

    def run(self, command="start", script="etc/init.d/millet", **environment):
        """What the script asked for, one call a line."""
        config = self.folder / "config"
        config.write_text("".join(f"config {section} '{section}'\n" + "".join(f"\toption {key} '{value}'\n" for key, value in options.items())
                                  for section, options in self.config.items()))
        mounts = self.folder / "mounts"
        mounts.write_text("rootfs / rootfs rw 0 0\n" + "".join(f"/dev/{where.strip('/').replace('/', '-') or 'root'} {where} {kind} rw 0 0\n"
                                                              for where, kind in self.mounts.items()))
        seccomp = self.rootfs / "etc/seccomp/millet.json" if self.seccomp else "/nowhere"
        text = f""". '{STUB}'; . '{self.rootfs / script}'
            PROGRAM='{self.milletd}' CONFIG='{config}' MOUNTS='{mounts}' LINK='{self.folder}/link/millet' LEDS='{self.folder}/leds' FIREWALL='{self.folder}/firewall' RUN='{self.folder}/run' UJAIL='{self.ujail}' SECCOMP='{seccomp}'
            {command} || echo "failed"
        """
        done = subprocess.run(["busybox", "ash", "-c", text], env={**os.environ, "CONFIG_FILE": str(config), **environment},
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
        return done.stdout.splitlines()


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def said(lines, *words):
    return any(line.startswith("log ") and all(word in line for word in words) for line in lines)


def refuses(router, *words):
    lines = router.run()
    expect("failed" in lines and "procd_open_instance" not in lines, f"it starts: {lines}")
    expect(said(lines, "not started", *words), f"no line with {words}: {lines}")
    expect(sum(line.startswith("log ") and "not started" in line for line in lines) == 1, f"more than one line: {lines}")


# ---- cases: each gets a Router of its own ----


def start_with_defaults(router):
    lines = router.run()
    state = f"{router.disk}/.millet"
    expect("failed" not in lines and lines.count("procd_open_instance") == lines.count("procd_close_instance") == 1, f"no instance: {lines}")
    expect(f"procd_set_param command {router.milletd} --config {router.folder}/run/millet.conf --state {state}" in lines, f"another command: {lines}")
    for line in ("no_new_privs 1", "respawn 3600 5 60", f"file {router.folder}/config", f"user {USER}", "term_timeout 30", "stderr 1"):
        expect(f"procd_set_param {line}" in lines, f"{line} is not set: {lines}")
    expect(f"procd_set_param seccomp {router.rootfs}/etc/seccomp/millet.json" in lines, f"no seccomp: {lines}")
    expect(not any("firewall" in line for line in lines), f"the firewall is asked for: {lines}")
    expect(said(lines, "the state is in", state), f"the state's place is not said: {lines}")
    folder = pathlib.Path(state)
    expect(folder.is_dir() and folder.stat().st_mode & 0o777 == 0o700, "the state folder is not private")
    expect((router.folder / "link/millet").resolve() == folder, "the command line does not find the state")
    expect(router.run() == lines, "a second start is another one: procd would restart milletd")


def start_without_seccomp(router):
    router.seccomp = False
    lines = router.run()
    expect("failed" not in lines and not any("seccomp" in line for line in lines), f"{lines}")


def start_with_every_option(router):
    other = router.second / "torrents"
    router.config = {
        "node": {"listen": "0.0.0.0:7000", "data": f"{router.disk}/torrents", "disk_only": "1", "memory": "32", "upload_slots": "6", "upload_rate": "3000000000",
                 "download_rate": "2000000", "peers_max": "40", "peers_per_address": "2"},
        "transport": {"tcp": "on", "utp": "1", "tcp_background": "true", "tcp_sendfile": "auto"},
        "discovery": {"trackers": "1"},
        "control": {"socket": ""},
        "speed": {"enabled": "1", "reserve": "1.5", "free_slots": "2", "spending_rate": "0.5", "budget": "7.25", "max_rate": "10",
                  "exposure": "4", "claim_threshold": "2.5"},
        "board": {"led": "green:usb", "watchdog": "", "heat_limit": "90", "disk_sleep": "300", "disk_bursts": "1200", "tracking_share": "20"},
        "ledger": {"url": "https://ledger.example:7412", "key": KEY, "passphrase_file": ""},
        "openwrt": {"state": f"{router.second}/state", "folders": f"{other} {router.second}/absent", "user": USER, "firewall": "1", "zone": "wan", "interface": ""},
    }
    defaults = (router.rootfs / "etc/config/millet").read_text()
    known = set(re.findall(r"^config (\w+)|^\toption (\w+)", defaults, re.MULTILINE))
    here = {(section, "") for section in router.config} | {("", option) for options in router.config.values() for option in options}
    expect(known == here, f"not every option is tried: {known ^ here}")
    lines = router.run()
    expect("failed" not in lines, f"{lines}")
    mounts = {line for line in lines if line.startswith("procd_add_jail_mount_rw")}
    expect(mounts == {f"procd_add_jail_mount_rw {path}" for path in (f"{router.disk}/torrents", other, f"{router.second}/state")}, f"{mounts}")
    expect(said(lines, f"{router.second}/absent", "wait until its disk"), f"{lines}")
    opened = lines[lines.index("procd_open_data"):lines.index("procd_close_data") + 1]
    expect(opened == ["procd_open_data", "json_add_array firewall", "json_add_object ", "json_add_string type rule", "json_add_string name Allow-millet",
                      "json_add_string src wan", "json_add_string proto tcp udp", "json_add_string dest_port 7000", "json_add_string target ACCEPT",
                      "json_close_object", "json_close_array", "procd_close_data"], f"{opened}")
    expect("procd_set_config_changed firewall" in lines, "fw4 is not told")


def every_option_is_validated_as_milletd_takes_it(router):
    """Types and ranges of uci_load_validate against what --print-config says (options_test compares it with that file)."""
    defaults = (router.rootfs / "etc/config/millet").read_text()
    rules = dict(line[len("rule "):].split(":", 1) for line in router.run("service_triggers") if line.startswith("rule "))
    section, takes = "", ""
    for line in defaults.splitlines():
        if line.startswith("config "):
            section = line.split()[1]
        elif line.startswith("\t# Takes "):
            takes = line[len("\t# Takes "):]
        elif line.startswith("\toption "):
            name = f"{section}.{line.split()[1]}"
            expect(name in rules, f"{name} is not validated")
            kind = rules.pop(name)
            numbers = re.match(r"(auto, or )?(\d+) to (\d+)\b", takes)
            if takes.startswith("0 or 1"):
                expect(kind == "bool", f"{name}: {kind}")
            elif takes.startswith("auto, 0 or 1"):
                expect(kind == 'or("auto", bool)', f"{name}: {kind}")
            elif "decimals" in takes:
                expect(kind == "ufloat", f"{name}: {kind}")
            elif numbers and int(numbers[3]) >= 2**31:
                expect(kind == "uinteger", f"{name}: validate_data's range is one of int: {kind}")
            elif numbers:
                wanted = f"range({numbers[2]},{numbers[3]})"
                expect(kind == (f'or("auto", {wanted})' if numbers[1] else wanted), f"{name} takes {takes} and is validated as {kind}")
    expect(not rules, f"validated and unknown to milletd: {rules}")


def invalid_values_start_nothing(router):
    for name, value, word in (("node__upload_slots", "0", "1 to 500"), ("node__memory", "lots", "node.memory"), ("speed__enabled", "maybe", "speed.enabled"),
                              ("ledger__key", "xyz", "64 hexadecimal digits"), ("node__listen", "6881", "ADDRESS:PORT"), ("speed__free_slots", "500", "node.upload_slots"),
                              ("node__colour", "red", "node.colour"), ("openwrt__zone", "w;n", "openwrt.zone"), ("openwrt__user", "nobody-of-that-name", "openwrt.user")):
        section = name.split("__")[0]
        before = dict(router.config.get(section, {}))
        router.set(**{name: value, "speed__enabled": value if name == "speed__enabled" else "1"})
        refuses(router, word)
        router.config[section] = before
        router.config.pop("speed")


def payload_belongs_on_a_disk(router):
    for kind in ("tmpfs", "overlay", "jffs2", "ubifs", "squashfs"):
        router.mounts[str(router.disk)] = kind
        router.set(openwrt__state=f"{router.second}/state")
        lines = router.run()
        expect("failed" in lines and said(lines, f"{router.disk}/torrents", kind, "disk_only=0"), f"{kind}: {lines}")
        router.set(node__disk_only="0")
        expect("failed" not in router.run(), f"{kind} is refused with disk_only=0")
        router.set(node__disk_only="auto")


def the_state_needs_what_lasts(router):
    for kind, word in (("tmpfs", "lost with power"), ("jffs2", "LMDB"), ("squashfs", "read-only"), ("vfat", "private")):
        router.mounts[str(router.second)] = kind
        router.set(openwrt__state=f"{router.second}/state")
        refuses(router, word, "millet.openwrt.state")
        expect(not (router.second / "state").exists(), "it was made all the same")
    router.mounts[str(router.second)] = "overlay"
    expect("failed" not in router.run(), "the state is refused on an overlay over UBIFS")
    router.mounts["/overlay"] = "jffs2"
    refuses(router, "LMDB")


def folders_that_are_not_there(router):
    router.set(node__data="")
    refuses(router, "millet.node.data")
    router.set(node__data=f"{router.disk}/absent/deeper")
    refuses(router, f"{router.disk}/absent/deeper", "is its disk mounted?")
    router.set(node__data=f"{router.disk}/torrents", openwrt__state=f"{router.folder}/a b/state")
    refuses(router, "letters, digits")
    router.set(openwrt__state=f"{router.disk}/../state")
    refuses(router, "absolute path")
    (router.disk / "link").symlink_to(router.second)
    router.set(openwrt__state=f"{router.disk}/link")
    refuses(router, "is a link")


def the_state_is_beside_the_payload(router):
    """Payload folders are shared: the wallet is not in one unless its disk has no other place, or it is there already."""
    expect(said(router.run(), "the state is in", f"{router.disk}/.millet"), "another place")
    router.mounts[f"{router.disk}/torrents"] = "f2fs"
    expect(said(router.run(), "the state is in", f"{router.disk}/torrents/.millet"), "on another disk than the payload")
    router.mounts.pop(f"{router.disk}/torrents")
    expect(said(router.run(), "the state is in", f"{router.disk}/torrents/.millet"), "one that is there is left")


def the_state_is_given_without_following_links(router):
    state = router.disk / ".millet"
    state.mkdir()
    victim = router.folder / "victim"
    for path in (victim, state / "data.mdb"):
        path.write_text("")
    (state / "trap").symlink_to(victim)
    before = victim.stat().st_uid
    expect("failed" not in router.run(), "no start")
    expect((state / "data.mdb").stat().st_uid == pwd.getpwnam(USER).pw_uid and victim.stat().st_uid == before, "a link was followed")


def files_of_root_are_copied_for_the_user(router):
    secret = router.folder / "secret"
    secret.write_text("word\n")
    router.set(ledger__passphrase_file=str(secret))
    lines = router.run()
    expect(f"procd_append_param command --set ledger.passphrase_file={router.folder}/run/passphrase" in lines, f"{lines}")
    for name in ("millet.conf", "passphrase"):
        info = (router.folder / "run" / name).stat()
        expect(info.st_mode & 0o777 == 0o600 and info.st_uid == pwd.getpwnam(USER).pw_uid, f"{name} is not the user's alone")
    router.set(ledger__passphrase_file=f"{router.folder}/absent")
    refuses(router, "ledger.passphrase_file")
    router.set(ledger__passphrase_file="")
    expect("failed" not in router.run() and not (router.folder / "run/passphrase").exists(), "the copy stays")
    router.set(control__socket="/tmp/socket")
    refuses(router, "control.socket")


def only_its_own_parts_are_given(router):
    for name, values in (("board__watchdog", ("/dev/full", "/dev/mtd0", "/dev/watchdog0/../full")), ("board__led", ("../leds/green:usb", "/etc", ".."))):
        for value in values:
            router.set(**{name: value})
            refuses(router, value)
        router.set(**{name: ""})
    router.set(openwrt__user="root")
    refuses(router, "root")


def without_a_jail_it_says_so(router):
    router.ujail = "/nowhere"
    expect(said(router.run(), "no jail"), "not a word")


def a_disk_goes_and_comes(router):
    """With the state on another disk milletd is started anew, without the folder; with its own disk it stops, and starts when that is back."""
    router.set(openwrt__folders=f"{router.second}/torrents")
    both = router.run()
    shutil.rmtree(router.second / "torrents")
    kind = router.mounts.pop(str(router.second))
    one = router.run()
    expect("failed" not in one and f"procd_add_jail_mount_rw {router.second}/torrents" not in one, f"{one}")
    expect([line for line in one if "env MILLET_DISKS" in line] != [line for line in both if "env MILLET_DISKS" in line], "procd would not see the change")
    (router.second / "torrents").mkdir()
    router.mounts[str(router.second)] = kind
    expect(router.run() == both, "back is not as before")
    shutil.rmtree(router.disk / "torrents")
    refuses(router, f"{router.disk}/torrents", "is its disk mounted?")


def a_disk_mounted_over_is_another(router):
    first = router.run()
    router.mounts[f"{router.disk}/torrents"] = "f2fs"
    second = router.run()
    expect(first != second and any("f2fs" in line and "MILLET_DISKS" in line for line in second), f"{second}")


def hotplug(router):
    """The scripts call the init script, and only where the service is enabled."""
    calls = router.folder / "calls"
    init = router.folder / "init"
    init.write_text(f"#!/bin/sh\necho \"$1\" >>'{calls}'\n[ \"$1\" = enabled ] && exit ${{ENABLED:-0}}\n[ \"$1\" = running ] && exit ${{RUNNING:-0}}\nexit 0\n")
    millet = router.folder / "millet"
    millet.write_text(f"#!/bin/sh\necho \"millet $*\" >>'{calls}'\nexit ${{MILLET_EXIT:-0}}\n")
    init.chmod(0o755)
    millet.chmod(0o755)

    def event(kind, **environment):
        calls.write_text("")
        lines = router.run(":", f"etc/hotplug.d/{kind}/90-millet", INIT=str(init), MILLET=str(millet),
                           BLOCK=str(router.rootfs / "etc/hotplug.d/block/90-millet"), **environment)
        return calls.read_text().split("\n")[:-1], lines

    for kind in ("block", "mount"):
        for action in ("add", "remove"):
            expect(event(kind, ACTION=action)[0] == ["enabled", "start"], f"{kind} {action}")
        expect(event(kind, ACTION="add", ENABLED="1")[0] == ["enabled"], f"{kind}: a disabled service is started")
        expect(event(kind, ACTION="change")[0] == [], f"{kind} change")
    expect(event("iface", ACTION="ifup", INTERFACE="wan")[0] == ["running", "millet resume"], "ifup")
    expect(event("iface", ACTION="ifup", INTERFACE="wan", RUNNING="1")[0] == ["running"], "ifup without milletd")
    for environment in ({"ACTION": "ifdown", "INTERFACE": "wan"}, {"ACTION": "ifup", "INTERFACE": "loopback"}):
        expect(event("iface", **environment)[0] == [], f"{environment}")
    expect(said(event("iface", ACTION="ifup", INTERFACE="wan", MILLET_EXIT="1")[1], "millet resume"), "a failure is not said")


def triggers_and_reload(router):
    router.set(openwrt__folders=f"{router.second}/torrents", openwrt__interface="vpn")
    lines = router.run("service_triggers")
    expect("procd_add_reload_trigger millet" in lines, f"{lines}")
    expect(f"procd_add_restart_mount_trigger {router.disk}/torrents/ {router.second}/torrents" in lines, f"{lines}")
    expect("procd_add_reload_interface_trigger vpn" in lines, f"{lines}")
    router.set(openwrt__interface="")
    expect(not any("interface_trigger" in line for line in router.run("service_triggers")), "a trigger of no interface")
    expect(router.run("reload_service") == router.run(), "a reload is another start")


def bound_to_an_interface(router):
    network = router.folder / "network.sh"
    network.write_text("network_flush_cache() { :; }\nnetwork_get_ipaddr() { [ \"$2\" = vpn ] && eval \"$1=$ADDRESS4\" && [ -n \"$ADDRESS4\" ]; }\n"
                       "network_get_ipaddr6() { [ \"$2\" = vpn ] && eval \"$1=$ADDRESS6\" && [ -n \"$ADDRESS6\" ]; }\n")
    router.set(openwrt__interface="vpn", node__listen="[::]:7000")
    for four, six, listen in (("10.0.0.2", "", "10.0.0.2:7000"), ("", "2001:db8::2", "[2001:db8::2]:7000")):
        lines = router.run(NETWORK=str(network), ADDRESS4=four, ADDRESS6=six)
        expect(f"procd_append_param command --set node.listen={listen}" in lines, f"{lines}")
    lines = router.run(NETWORK=str(network), ADDRESS4="", ADDRESS6="")
    expect("failed" in lines and said(lines, "not started", "vpn", "no address"), f"it goes out another way: {lines}")


def the_firewall_is_the_owners(router):
    expect("procd_set_config_changed firewall" not in router.run(), "fw4 is told of nothing")
    router.set(openwrt__firewall="1", node__listen="[::]:0")
    lines = router.run()
    expect(said(lines, "port 0") and "procd_open_data" not in lines, f"{lines}")
    router.set(node__listen="[::]:6881")
    expect("json_add_string dest_port 6881" in router.run(), "no rule")
    router.set(openwrt__firewall="0")
    expect("procd_set_config_changed firewall" in router.run(), "what was open stays open")
    expect("procd_set_config_changed firewall" not in router.run(), "fw4 is told again")
    router.set(openwrt__firewall="1")
    router.run()
    expect("procd_set_config_changed firewall" in router.run("service_stopped"), "a stop leaves the port open")
    expect("procd_set_config_changed firewall" not in router.run("service_stopped"), "fw4 is told again")


def jail_mounts_are_not_nested(router):
    lines = router.run()
    expect("procd_add_jail millet log procfs sysfs" in lines, f"{lines}")
    expect([line for line in lines if "mount_rw" in line] ==
           [f"procd_add_jail_mount_rw {router.disk}/torrents", f"procd_add_jail_mount_rw {router.disk}/.millet"], f"{lines}")
    router.set(openwrt__state=f"{router.disk}/torrents/state")
    expect([line for line in router.run() if "mount_rw" in line] == [f"procd_add_jail_mount_rw {router.disk}/torrents"], "a mount in a mount")
    router.set(openwrt__state=f"{router.disk}/state")
    expect([line for line in router.run() if "mount_rw" in line] ==
           [f"procd_add_jail_mount_rw {router.disk}/torrents", f"procd_add_jail_mount_rw {router.disk}/state"], "the state is not in the jail")
    read_only = next(line for line in lines if line.startswith("procd_add_jail_mount "))
    for path in (f"{router.folder}/run", "/etc/openwrt_release", "/etc/resolv.conf"):
        expect(path in read_only.split(), f"{path} is not in the jail")


def a_light_is_the_users(router):
    led = router.folder / "leds/green:usb"
    led.mkdir(parents=True)
    for name in ("trigger", "brightness", "delay_on", "delay_off"):
        (led / name).write_text("none [default-on] timer\n")
    router.set(board__led="green:usb")
    lines = router.run()
    expect((led / "trigger").read_text() == "timer\n", "the delays are root's")
    for name in ("trigger", "brightness", "delay_on", "delay_off"):
        expect((led / name).stat().st_uid == pwd.getpwnam(USER).pw_uid, f"{name} is root's")
    (led / "trigger").write_text("none [timer]\n")
    expect(router.run() == lines and (led / "trigger").read_text() == "none [timer]\n", "a second start chooses the trigger again")
    router.run("service_stopped")
    expect((led / "trigger").read_text() == "default-on\n", "the light is not given back")
    expect("procd_add_jail millet log procfs" in lines and "procd_add_jail_mount_rw /sys" in lines, f"{lines}")
    router.set(board__led="absent")
    expect("procd_add_jail millet log procfs sysfs" in router.run(), "a light that is not there opens /sys")


def first_boot_makes_the_user(router):
    functions = router.folder / "functions.sh"
    functions.write_text("group_exists() { return 1; }; group_add_next() { echo 70000; echo \"group $1\" >&2; }\nuser_exists() { return ${KNOWN:-1}; }; user_add() { echo user \"$1\"; }\n")
    for known, expected in (("1", True), ("0", False)):
        done = subprocess.run(["busybox", "ash", router.rootfs / "etc/uci-defaults/80-millet"], env={**os.environ, "FUNCTIONS": str(functions), "KNOWN": known, "IPKG_INSTROOT": ""},
                              capture_output=True, text=True, check=True)
        expect(("user millet" in done.stdout) == expected and "group millet" in done.stderr, done.stdout + done.stderr)


def seccomp_profile(router):
    profile = json.loads((router.rootfs / "etc/seccomp/millet.json").read_text())
    expect(profile["defaultAction"] == "SCMP_ACT_ERRNO", "unknown calls do not fail with an error")
    allowed = {name for rule in profile["syscalls"] for name in rule["names"]}
    expect(all(rule["action"] == "SCMP_ACT_ALLOW" for rule in profile["syscalls"]), "a rule that does not allow")
    for plain, later in (("clock_gettime", "clock_gettime64"), ("futex", "futex_time64"), ("recvmmsg", "recvmmsg_time64"), ("ppoll", "ppoll_time64"),
                         ("utimensat", "utimensat_time64"), ("rt_sigtimedwait", "rt_sigtimedwait_time64"), ("pselect6", "pselect6_time64"),
                         ("clock_nanosleep", "clock_nanosleep_time64"), ("timerfd_settime", "timerfd_settime64")):
        expect((plain in allowed) == (later in allowed), f"{plain} without {later}: a 32-bit musl calls it")
    for forbidden in ("execve", "ptrace", "mount", "init_module", "chroot", "setuid", "reboot", "bpf"):
        expect(forbidden not in allowed, f"{forbidden} is allowed")


def load_seccomp(profile, more):
    """In the process that calls it, from here on. `more` names are allowed beside those of the profile."""
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    fails, allows = 0x00050000 | errno.EPERM, 0x7FFF0000
    filter_ = ctypes.c_void_p(library.seccomp_init(fails))
    for name in [name for rule in json.loads(profile.read_text())["syscalls"] for name in rule["names"]] + more:
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number >= 0 and library.seccomp_rule_add(filter_, allows, number, 0) != 0:
            os._exit(99)
    if library.seccomp_load(filter_) != 0:
        os._exit(99)


def a_transfer_works_under_the_seccomp_profile(router):
    """Two nodes, on this machine's architecture; execve is allowed for their own start."""
    if ctypes.util.find_library("seccomp") is None:
        print("libseccomp is not installed: no transfer under the profile")
        return
    millet = pathlib.Path(router.milletd).with_name("millet")
    folder, profile = router.folder, router.rootfs / "etc/seccomp/millet.json"
    (folder / "payload").mkdir()
    (folder / "payload/big").write_bytes(os.urandom(3_000_000))
    torrent = folder / "big.torrent"
    subprocess.run([millet, "create", folder / "payload/big", "-o", torrent], check=True, capture_output=True)
    # A sanitizer's build looks at its own threads and addresses, and at its end for leaks: it must not fail for that.
    more = ["execve", "ptrace", "personality", "process_vm_readv"]
    config = router.rootfs / "etc/config/millet"
    nodes = []

    def start(name, *words):
        log = open(folder / f"{name}.log", "w", encoding="utf-8")
        nodes.append(subprocess.Popen([router.milletd, "--config", config, "--state", folder / name, "--set", "node.listen=127.0.0.1:0", *words], stderr=log,
                                      preexec_fn=lambda: load_seccomp(profile, more), env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}))
        log.close()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and nodes[-1].poll() is None:
            ready = re.search(r"event=ready listen=(\S+)", (folder / f"{name}.log").read_text())
            if ready:
                return ready[1]
            time.sleep(0.05)
        raise AssertionError(f"{name} does not start: {(folder / f'{name}.log').read_text()}")

    try:
        seeder = start("seeder", "--seed", torrent, "--data", folder / "payload")
        start("leecher")
        done = subprocess.run([millet, "--state", folder / "leecher", "add", torrent, "--data", folder / "got", "--peer", seeder, "--wait"], capture_output=True, text=True,
                              timeout=100, check=False)
        expect(done.returncode == 0, f"no transfer: {done.stderr} {(folder / 'leecher.log').read_text()} {(folder / 'seeder.log').read_text()}")
        expect((folder / "got/big").read_bytes() == (folder / "payload/big").read_bytes(), "another payload")
    finally:
        for node in nodes:
            node.terminate()
        ends = [node.wait(60) for node in nodes]
    expect(ends == [0, 0], f"they end with {ends}")


CASES = (start_with_defaults, start_without_seccomp, start_with_every_option, every_option_is_validated_as_milletd_takes_it, invalid_values_start_nothing,
         payload_belongs_on_a_disk, the_state_needs_what_lasts, folders_that_are_not_there, the_state_is_beside_the_payload,
         the_state_is_given_without_following_links, files_of_root_are_copied_for_the_user, only_its_own_parts_are_given, without_a_jail_it_says_so,
         a_disk_goes_and_comes, a_disk_mounted_over_is_another, hotplug,
         triggers_and_reload, bound_to_an_interface, the_firewall_is_the_owners, jail_mounts_are_not_nested, a_light_is_the_users, first_boot_makes_the_user, seccomp_profile, a_transfer_works_under_the_seccomp_profile)


def main():
    if shutil.which("busybox") is None:
        print("skipped: busybox is not installed")
        return 77
    failed = 0
    for case in CASES:
        with tempfile.TemporaryDirectory(prefix="millet-rootfs-") as folder:
            try:
                case(Router(folder, sys.argv[1], pathlib.Path(sys.argv[2])))
            except AssertionError as reason:
                print(f"{case.__name__}: {reason}")
                failed += 1
    print(f"rootfs: {len(CASES) - failed} of {len(CASES)} cases")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
