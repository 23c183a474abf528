'use strict';
'require view';
'require poll';
'require rpc';
'require millet';

const callServiceList = rpc.declare({
	object: 'service',
	method: 'list',
	params: [ 'name' ],
	expect: { '': {} }
});

function isRunning(services) {
	return Object.values(services?.millet?.instances || {}).some((instance) => instance.running);
}

function drawEarnings(stats) {
	return millet.facts([
		[ _('Earned'), millet.btt(stats.earned_btt) ],
		[ _('Spent'), millet.btt(stats.spent_btt) ],
		[ _('Account'), stats.address ],
		[ _('Ledger'), stats.ledger ]
	]);
}

function drawTraffic(stats) {
	return millet.facts([
		[ _('Uploaded'), '%s (%s)'.format(millet.bytes(stats.uploaded), millet.rate(stats.upload_rate)) ],
		[ _('Downloaded'), '%s (%s)'.format(millet.bytes(stats.downloaded), millet.rate(stats.download_rate)) ],
		[ _('Torrents'), String(stats.torrents) ],
		[ _('Peers'), String(stats.peers) ],
		[ _('Running for'), '%t'.format(stats.uptime_s) ]
	]);
}

function drawChannels(channels) {
	const rows = channels.map((channel) => E('tr', { 'class': 'tr' }, [
		E('td', { 'class': 'td' }, [ channel.role === 'payee' ? _('pays us') : _('paid by us') ]),
		E('td', { 'class': 'td' }, [ channel.other.substring(0, 12) ]),
		E('td', { 'class': 'td' }, [ channel.state ]),
		E('td', { 'class': 'td right' }, [ '%s / %s'.format(channel.paid_btt, millet.btt(channel.capacity_btt)) ])
	]));
	if (rows.length === 0)
		rows.push(E('tr', { 'class': 'tr placeholder' }, [ E('td', { 'class': 'td', 'colspan': 4 }, [ E('em', [ _('No channel is open.') ]) ]) ]));
	return E('table', { 'class': 'table' }, [
		E('tr', { 'class': 'tr table-titles' }, [ _('Direction'), _('Peer'), _('State'), _('Paid') ].map((title) => E('th', { 'class': 'th' }, [ title ])))
	].concat(rows));
}

function ask() {
	return L.resolveDefault(callServiceList('millet'), {}).then((services) => {
		if (!isRunning(services))
			throw new Error(_('milletd does not run. The system log says why: "logread -e millet".'));
		return Promise.all([ millet.ask('stats'), millet.ask('channels') ]);
	});
}

return view.extend({
	load: () => ask().catch((reason) => reason),

	draw: function(answer) {
		if (answer instanceof Error)
			return [ millet.failure(answer) ];
		const [ stats, channels ] = answer;
		return [
			E('h3', [ _('Earnings') ]), drawEarnings(stats),
			E('h3', [ _('Traffic') ]), drawTraffic(stats),
			E('h3', [ _('Payment channels') ]), drawChannels(channels.channels)
		];
	},

	render: function(answer) {
		const body = E('div', { 'class': 'cbi-section' }, this.draw(answer));
		poll.add(() => this.load().then((next) => body.replaceChildren(...this.draw(next))), 5);
		return E([], [ E('h2', [ _('millet: status') ]), body ]);
	},

	handleSaveApply: null,
	handleSave: null,
	handleReset: null
});
