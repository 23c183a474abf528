"""libtorrent as a client of one torrent: TORRENT DATA ADDRESS PORT tcp|utp|both, over these transports only. Prints "complete" once it has everything, and seeds until it is killed."""
import sys
import time

import libtorrent


def main():
    torrent, data, own, port, transport = sys.argv[1:6]
    tcp, utp = transport != "utp", transport != "tcp"
    session = libtorrent.session({
        "listen_interfaces": f"{own}:{port}", "outgoing_interfaces": own, "enable_dht": False, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False,
        "enable_incoming_utp": utp, "enable_outgoing_utp": utp, "enable_incoming_tcp": tcp, "enable_outgoing_tcp": tcp, "allow_multiple_connections_per_ip": True, "alert_mask": libtorrent.alert.category_t.error_notification,
    })
    handle = session.add_torrent({"ti": libtorrent.torrent_info(torrent), "save_path": data})
    said = False
    while True:
        for alert in session.pop_alerts():
            print("alert", alert.what(), alert.message(), flush=True)
        status = handle.status()
        if status.is_seeding and not said:
            print("complete", flush=True)
            said = True
        time.sleep(0.1)


main()
