"""What runs beside a seeder on the link of link.py. Each prints one line for each thing that it sees, with the machine's monotonic clock first:

  leech utp|tcp OWN_ADDRESS SEEDER TORRENT FOLDER   a libtorrent session that downloads; "SECOND BYTES" ten times a second
  receive ADDRESS PORT                              takes one TCP connection; "SECOND BYTES" ten times a second and at its end
  send ADDRESS PORT SECONDS                         one TCP cubic flow, for so long
  ping ADDRESS                                      20 ICMP echoes a second; "SECOND MILLISECONDS" for each that comes back
"""
import errno
import os
import select
import socket
import struct
import sys
import threading
import time

EVERY = 0.1  # seconds between lines
PING_EVERY = 0.05
SO_TIMESTAMPNS = 35
REALTIME_PRIORITY = 10


def say(*words):
    print(*words, flush=True)


def leech(transport, own, seeder, torrent, folder):
    from utp_leech import Leecher

    leecher = Leecher(own, torrent, folder, transport)
    leecher.start(seeder)
    while True:
        leecher.ask()
        time.sleep(EVERY)
        leecher.take()
        say(f"{time.monotonic():.4f} {leecher.bytes}")


def receive(address, port):
    with socket.create_server((address, int(port))) as server:
        say("listening")
        flow, _ = server.accept()
    total, next_line = 0, 0.0
    while data := flow.recv(1 << 20):
        total += len(data)
        if time.monotonic() >= next_line:
            say(f"{time.monotonic():.4f} {total}")
            next_line = time.monotonic() + EVERY
    say(f"{time.monotonic():.4f} {total}")
    say("ended")


def send(address, port, seconds):
    ends = time.monotonic() + float(seconds)
    with socket.socket() as flow:
        flow.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
        flow.connect((address, int(port)))
        payload = bytes(1 << 16)
        while time.monotonic() < ends:
            flow.sendall(payload)


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ping(address):
    # Neither this program's turn on the processor nor the other side's is to count: the kernel answers, and stamps what comes.
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(REALTIME_PRIORITY))
    except OSError:
        say("without priority")
    link = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    link.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    link.connect((address, 0))
    identity = os.getpid() & 0xFFFF
    sent = {}

    def echo(number):
        body = struct.pack("!HH", identity, number & 0xFFFF) + bytes(48)
        sent[number & 0xFFFF] = time.time_ns()
        try:
            link.send(struct.pack("!BBH", 8, 0, checksum(b"\x08\x00\x00\x00" + body)) + body)
        except OSError as failure:
            if failure.errno != errno.ENOBUFS:
                raise

    def answers():
        while True:
            data, more, _, _ = link.recvmsg(256, 256)
            header = (data[0] & 15) * 4
            kind, _, _, who, number = struct.unpack("!BBHHH", data[header : header + 8])
            if kind != 0 or who != identity or number not in sent:
                continue
            seconds, nanoseconds = struct.unpack("qq", more[0][2][:16])
            say(f"{time.monotonic():.4f} {(seconds * 10**9 + nanoseconds - sent.pop(number)) / 1e6:.3f}")

    threading.Thread(target=answers, daemon=True).start()
    number, due = 0, time.monotonic()
    while True:
        echo(number)
        number += 1
        due += PING_EVERY
        select.select([], [], [], max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    {"leech": leech, "receive": receive, "send": send, "ping": ping}[sys.argv[1]](*sys.argv[2:])
