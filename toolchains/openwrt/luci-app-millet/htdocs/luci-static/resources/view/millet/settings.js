'use strict';
'require view';
'require form';
'require tools.widgets as widgets';

/* Every option of /etc/config/millet. Defaults, ranges and meanings are those of `milletd --print-config`, which a test compares. */

function text(section, name, title, description, initial, datatype) {
	const option = section.option(form.Value, name, title, description);
	option.placeholder = initial;
	option.datatype = datatype || 'string';
	option.rmempty = true;
	return option;
}

function flag(section, name, title, description, initial) {
	const option = section.option(form.Flag, name, title, description);
	option.default = initial;
	option.rmempty = false;
	return option;
}

function automatic(section, name, title, description) {
	const option = section.option(form.ListValue, name, title, description);
	option.value('auto', _('automatic'));
	option.value('1', _('yes'));
	option.value('0', _('no'));
	option.default = 'auto';
	return option;
}

return view.extend({
	render: function() {
		const map = new form.Map('millet', _('millet: settings'), _('A BitTorrent seeding node that earns: it seeds to everybody, and sells some of its upload slots to peers that bid for them.'));

		let section = map.section(form.NamedSection, 'node', 'node', _('Node'));
		text(section, 'data', _('Payload folder'), _('Of torrents that are added without one. It must be on a disk.'), '/mnt/sda1/torrents');
		automatic(section, 'disk_only', _('Disks only'), _('Refuse payload folders in memory, on an overlay and on raw flash.'));
		text(section, 'listen', _('Address and port'), _('For peers; port 0 picks a free one, [::] takes IPv4 too.'), '[::]:6881');
		text(section, 'memory', _('Memory'), _('Budget of the whole node in MiB; auto is an eighth of the machine\'s.'), 'auto', 'or("auto", range(8,65536))');
		text(section, 'upload_slots', _('Upload slots'), _('Peers that are served at once.'), '8', 'range(1,500)');
		text(section, 'upload_rate', _('Upload limit'), _('Bytes per second; 0 is unlimited.'), '0', 'range(0,1000000000000)');
		text(section, 'download_rate', _('Download limit'), _('Bytes per second; 0 is unlimited.'), '0', 'range(0,1000000000000)');
		text(section, 'peers_max', _('Connections'), _('Of the whole node.'), 'auto', 'or("auto", range(1,10000))');
		text(section, 'peers_per_address', _('Connections per address'), _('From and to one address.'), '8', 'range(1,10000)');

		section = map.section(form.NamedSection, 'speed', 'speed', _('Earning and paying'));
		flag(section, 'enabled', _('BitTorrent Speed'), _('Answer bids, bid, pay, be paid.'), '0');
		text(section, 'reserve', _('Lowest price'), _('Of an auctioned slot, in BTT per GB.'), '1', 'and(ufloat, max(1000000))');
		text(section, 'free_slots', _('Free slots'), _('For peers without a bid.'), '1', 'range(0,500)');
		text(section, 'budget', _('Budget'), _('Most that one torrent\'s download may cost, in BTT; 0 does not bid.'), '0', 'and(ufloat, max(990000000000))');
		text(section, 'max_rate', _('Highest own bid'), _('In BTT per GB.'), '10', 'and(ufloat, max(1000000))');
		text(section, 'spending_rate', _('Spending rate'), _('Own bids: this times the budget left, by bytes left.'), '1', 'and(ufloat, min(0.001), max(100))');
		text(section, 'exposure', _('Exposure'), _('Pieces that a payer may have unpaid once it has paid for long; 1 trusts nobody.'), '1', 'range(1,64)');
		text(section, 'claim_threshold', _('Claim threshold'), _('Earned over all channels and not yet claimed, in BTT: the largest are claimed at once.'), '0.1', 'and(ufloat, min(0.000001), max(990000000000))');

		section = map.section(form.NamedSection, 'ledger', 'ledger', _('Ledger'));
		text(section, 'url', _('Address'), _('Of the private ledger: https://HOST:PORT, or http://HOST:PORT where nobody listens on the way.'), 'https://ledger.example:7412');
		text(section, 'key', _('Key'), _('The ledger\'s public key, 64 hexadecimal digits.'), '', 'and(hexstring, length(64))');
		text(section, 'passphrase_file', _('Passphrase file'), _('Of a locked wallet, best in the state folder; empty: it stays locked, and torrents are seeded for nothing.'), '');

		section = map.section(form.NamedSection, 'openwrt', 'openwrt', _('This router'));
		text(section, 'state', _('State folder'), _('Of everything durable, the wallet too; empty is .millet beside the payload folder.'), '');
		text(section, 'folders', _('More payload folders'), _('With spaces between them: milletd sees no others from its jail.'), '');
		text(section, 'user', _('User'), _('That milletd runs as.'), 'millet');
		flag(section, 'firewall', _('Open the firewall'), _('For the port above, while milletd runs.'), '0');
		const zone = section.option(widgets.ZoneSelect, 'zone', _('Firewall zone'), _('That the port is opened to.'));
		zone.default = 'wan';
		zone.depends('firewall', '1');
		const network = section.option(widgets.NetworkSelect, 'interface', _('Interface'), _('Whose address all connections have: milletd runs only while it is up. Empty is any.'));
		network.optional = true;
		network.rmempty = true;

		section = map.section(form.NamedSection, 'board', 'board', _('Device'));
		text(section, 'led', _('Light'), _('Below /sys/class/leds: steady while seeding, a blink a second while earning, fast on errors. Empty: none.'), '');
		text(section, 'watchdog', _('Watchdog'), _('That resets the board when the node hangs, as /dev/watchdog1. Empty: none; procd has /dev/watchdog.'), '');
		text(section, 'heat_limit', _('Heat limit'), _('Where the chip slows itself down, in degrees Celsius: uploads slow down before. 0: as the thermal zones say.'), '0', 'range(0,125)');
		text(section, 'disk_sleep', _('Disk sleeps after'), _('Seconds after which a rotating disk counts as asleep, and is not woken for state that can wait. 0: never.'), '600', 'range(0,86400)');
		text(section, 'disk_bursts', _('Wait for a sleeping disk'), _('Seconds that peers without a bid wait at most, and are then served together. 0: no wait.'), '0', 'range(0,86400)');
		text(section, 'tracking_share', _('Connection tracking'), _('Most of the kernel\'s table that peers may fill, in percent.'), '25', 'range(1,100)');

		section = map.section(form.NamedSection, 'transport', 'transport', _('Transport'));
		flag(section, 'tcp', _('TCP'), _('Connect to peers over TCP.'), '1');
		flag(section, 'utp', _('uTP'), _('Connect to peers over uTP, which gives way to everything else on the line.'), '1');
		flag(section, 'tcp_background', _('TCP in the background'), _('Over TCP, too, give way to everything else on the line.'), '1');
		automatic(section, 'tcp_sendfile', _('Send without a copy'), _('Cached payload over TCP; automatic measures what costs this device less.'));

		section = map.section(form.NamedSection, 'discovery', 'discovery', _('Discovery'));
		flag(section, 'trackers', _('Trackers'), _('Announce to the trackers that a torrent names.'), '1');

		section = map.section(form.NamedSection, 'control', 'control', _('Control'));
		text(section, 'socket', _('Control socket'), _('Of the command line; empty is control.socket in the state folder.'), '');

		return map.render();
	}
});
