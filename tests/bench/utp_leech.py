"""Loads a seeder over uTP alone: N libtorrent sessions, each with an address of its own, download one torrent into a folder, which is better
in memory. libtorrent checks every piece. Time and the seeder's CPU count from the first payload, for so many seconds or bytes, whichever comes
first. One line of JSON goes to standard output, with the fields of `leech`. Exit 1: nothing was served, or a piece was wrong.
"""
import argparse
import ipaddress
import json
import os
import sys
import time

import libtorrent

TICKS = os.sysconf("SC_CLK_TCK")
PLAINTEXT = 2  # enc_policy.pe_disabled
EVERY = 0.25  # seconds between looks: each costs the leechers a little
LEAVING = 10  # seconds; many sessions on few cores take their time
COUNTERS = ("net.recv_payload_bytes", "ses.num_piece_failed")


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory_kib(pid):
    values = {}
    with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as rollup:
        for line in rollup:
            key, _, rest = line.partition(":")
            if key in ("Rss", "Anonymous"):
                values[key] = int(rest.split()[0])
    return values["Rss"], values["Anonymous"]


class Leecher:
    """`transport`: utp or tcp, the only one that it uses."""

    def __init__(self, own, torrent, folder, transport="utp"):
        # No incoming connections, and a new port each time: seeders of earlier measurements call their leechers back.
        self.session = libtorrent.session({
            "listen_interfaces": f"{own}:0", "outgoing_interfaces": own, "enable_dht": False, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False,
            "enable_incoming_tcp": False, "enable_outgoing_tcp": transport == "tcp", "enable_incoming_utp": False, "enable_outgoing_utp": transport == "utp",
            "in_enc_policy": PLAINTEXT, "out_enc_policy": PLAINTEXT,
            "aio_threads": 1, "max_queued_disk_bytes": 8 << 20, "alert_mask": 0,
        })
        self.handle = self.session.add_torrent({"ti": libtorrent.torrent_info(torrent), "save_path": folder, "flags": libtorrent.torrent_flags.disable_pex})
        self.counters = {counter: 0 for counter in COUNTERS}
        self.asked = self.answered = 0

    def start(self, seeder):
        """Calls it, once the torrent is ready here. `seeder`: ADDRESS:PORT."""
        while self.handle.status().state != libtorrent.torrent_status.downloading:
            time.sleep(0.01)
        host, _, port = seeder.rpartition(":")
        self.handle.connect_peer((host, int(port)))

    def ask(self):
        self.session.post_session_stats()
        self.asked += 1

    def take(self):
        for alert in self.session.pop_alerts():
            if isinstance(alert, libtorrent.session_stats_alert):
                self.answered += 1
                self.counters = {counter: alert.values[counter] for counter in COUNTERS}

    @property
    def bytes(self):
        return self.counters["net.recv_payload_bytes"]


def look(leechers, patience):
    """All payload so far. Sessions answer in their own time: the last answer of each counts, and those that owe some are waited for."""
    for leecher in leechers:
        if leecher.asked == leecher.answered:
            leecher.ask()
    ends = time.monotonic() + patience
    while True:
        for leecher in leechers:
            leecher.take()
        if all(leecher.asked == leecher.answered for leecher in leechers) or time.monotonic() > ends:
            return sum(leecher.bytes for leecher in leechers)
        time.sleep(0.005)


def connect(arguments):
    first = int(ipaddress.IPv4Address(arguments.source))
    leechers = []
    for number in range(arguments.connections):
        folder = os.path.join(arguments.folder, str(number))
        os.mkdir(folder)
        leechers.append(Leecher(str(ipaddress.IPv4Address(first + number)), arguments.torrent, folder))
    for leecher in leechers:
        leecher.start(arguments.to)
    return leechers


def measure(arguments, leechers):
    waiting, now = time.monotonic(), 0
    while now == 0:
        if time.monotonic() - waiting > arguments.wait:
            return None
        began, cpu, own = time.monotonic(), cpu_seconds(arguments.seeder), time.process_time()  # as of the last look that saw nothing
        time.sleep(0.02)
        now = look(leechers, EVERY)
    resident = anonymous = 0
    while True:
        resident, anonymous = (max(pair) for pair in zip((resident, anonymous), memory_kib(arguments.seeder)))
        if now >= arguments.bytes or time.monotonic() - began >= arguments.seconds:
            break
        time.sleep(EVERY)
        now = look(leechers, EVERY)
    got = look(leechers, 1)
    seconds, cpu, own = time.monotonic() - began, cpu_seconds(arguments.seeder) - cpu, time.process_time() - own
    gib = got / (1 << 30)
    return {
        "connections": len(leechers), "served": sum(leecher.bytes > 0 for leecher in leechers), "bytes": got, "seconds": round(seconds, 3),
        "mb_per_s": got / 1e6 / seconds, "first_block_s": began - waiting, "wrong": sum(leecher.counters["ses.num_piece_failed"] for leecher in leechers),
        "leech_cpu_s_per_gib": own / gib, "seeder_cpu_s_per_gib": cpu / gib,
        "seeder_rss_peak_kib": resident, "seeder_anon_peak_kib": anonymous,
    }


def leave(leechers):
    """Closes all connections, so that nobody holds one of the seeder's slots in the next measurement."""
    for leecher in leechers:
        leecher.session.pause()
    ends = time.monotonic() + LEAVING
    while any(leecher.handle.status().num_peers for leecher in leechers) and time.monotonic() < ends:
        time.sleep(0.1)
    time.sleep(0.5)  # what closes a connection is on its way


def main():
    parser = argparse.ArgumentParser()
    for name, kind in (("to", str), ("torrent", str), ("folder", str), ("seeder", int), ("bytes", int)):
        parser.add_argument(f"--{name}", type=kind, required=True)
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--source", default="127.3.0.1")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--wait", type=float, default=20)
    arguments = parser.parse_args()
    leechers = connect(arguments)
    found = measure(arguments, leechers)
    leave(leechers)
    if found is None or found["wrong"] > 0:
        print(f"utp_leech: no payload came within {arguments.wait:g} s" if found is None else f"utp_leech: {found['wrong']} pieces were wrong", file=sys.stderr, flush=True)
        os._exit(1)
    print(json.dumps(found), flush=True)
    os._exit(0)  # the sessions would take seconds to end


if __name__ == "__main__":
    main()
