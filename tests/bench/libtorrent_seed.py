"""libtorrent as a seeder of the bench: TORRENT FOLDER ADDRESS PORT SLOTS. uTP only, and every leecher is served. Prints "seeding" once it seeds."""
import sys
import time

import libtorrent


def main():
    torrent, folder, own, port, slots = sys.argv[1:6]
    session = libtorrent.session({
        "listen_interfaces": f"{own}:{port}", "outgoing_interfaces": own, "enable_dht": False, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False,
        "enable_incoming_tcp": False, "enable_outgoing_tcp": False, "unchoke_slots_limit": int(slots), "connections_limit": 1000, "listen_queue_size": 1000,
        "max_peer_recv_buffer_size": 2 << 20, "alert_mask": 0,
    })
    handle = session.add_torrent({"ti": libtorrent.torrent_info(torrent), "save_path": folder, "flags": libtorrent.torrent_flags.disable_pex})
    while not handle.status().is_seeding:
        time.sleep(0.1)
    print("seeding", flush=True)
    while True:
        time.sleep(3600)


main()
