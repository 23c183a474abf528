'use strict';
'require fs';
'require view';
'require poll';
'require ui';
'require millet';

const UPLOAD = '/tmp/millet-upload.torrent';

return view.extend({
	load: () => millet.ask('list').then((answer) => answer.torrents).catch((reason) => reason),

	/* Runs a command and draws anew; what the command says against it is shown as it is. */
	act: function(...words) {
		return millet.ask(...words)
			.catch((reason) => ui.addNotification(null, E('p', [ reason.message ]), 'danger'))
			.then(() => this.refresh());
	},

	refresh: function() {
		return this.load().then((torrents) => this.body.replaceChildren(...this.draw(torrents)));
	},

	button: function(label, style, ...words) {
		return E('button', { 'class': 'btn cbi-button cbi-button-' + style, 'click': ui.createHandlerFn(this, () => this.act(...words)) }, [ label ]);
	},

	askToRemove: function(torrent) {
		ui.showModal(_('Remove this torrent?'), [
			E('p', [ _('%s is not seeded any more. Its files stay on the disk.').format(torrent.name) ]),
			E('div', { 'class': 'right' }, [
				E('button', { 'class': 'btn', 'click': ui.hideModal }, [ _('Cancel') ]), ' ',
				E('button', { 'class': 'btn cbi-button-negative', 'click': () => {
					ui.hideModal();
					return this.act('remove', torrent.info_hash);
				} }, [ _('Remove') ])
			])
		]);
	},

	drawRow: function(torrent) {
		const hash = torrent.info_hash;
		const stands = torrent.state === 'paused' || torrent.state === 'missing' || torrent.state === 'error';
		return E('tr', { 'class': 'tr', 'data-hash': hash }, [
			E('td', { 'class': 'td' }, [ torrent.name ].concat(torrent.error ? [ E('br'), E('small', [ torrent.error ]) ] : [])),
			E('td', { 'class': 'td' }, [ millet.state(torrent.state) ]),
			E('td', { 'class': 'td right' }, [ '%s (%d%%)'.format(millet.bytes(torrent.size), millet.percent(torrent.done, torrent.size)) ]),
			E('td', { 'class': 'td right' }, [ millet.rate(torrent.upload_rate) ]),
			E('td', { 'class': 'td right' }, [ String(torrent.peers) ]),
			E('td', { 'class': 'td right' }, [ millet.btt(torrent.earned_btt) ]),
			E('td', { 'class': 'td right cbi-section-actions' }, [
				stands ? this.button(_('Resume'), 'apply', 'resume', hash) : this.button(_('Pause'), 'neutral', 'pause', hash), ' ',
				this.button(_('Verify'), 'action', 'verify', hash), ' ',
				E('button', { 'class': 'btn cbi-button cbi-button-remove', 'click': () => this.askToRemove(torrent) }, [ _('Remove') ])
			])
		]);
	},

	draw: function(torrents) {
		if (torrents instanceof Error)
			return [ millet.failure(torrents) ];
		const titles = [ _('Name'), _('State'), _('Size'), _('Upload'), _('Peers'), _('Earned'), '' ];
		const rows = torrents.map((torrent) => this.drawRow(torrent));
		if (rows.length === 0)
			rows.push(E('tr', { 'class': 'tr placeholder' }, [ E('td', { 'class': 'td', 'colspan': titles.length }, [ E('em', [ _('There is no torrent yet.') ]) ]) ]));
		return [ E('table', { 'class': 'table' }, [
			E('tr', { 'class': 'tr table-titles' }, titles.map((title) => E('th', { 'class': 'th' }, [ title ])))
		].concat(rows)) ];
	},

	add: function(ev) {
		return ui.uploadFile(UPLOAD, ev.target)
			.then(() => this.act('add', UPLOAD))
			.finally(() => fs.remove(UPLOAD).catch(() => {})) // it is in the router's memory
			.catch((reason) => ui.addNotification(null, E('p', [ reason.message ]), 'danger'));
	},

	render: function(torrents) {
		this.body = E('div', this.draw(torrents));
		poll.add(() => this.refresh(), 5);
		return E([], [
			E('h2', [ _('millet: torrents') ]),
			E('div', { 'class': 'cbi-section' }, [
				this.body,
				E('p', { 'class': 'right' }, [
					E('button', { 'class': 'btn cbi-button cbi-button-add', 'click': ui.createHandlerFn(this, 'add') }, [ _('Add a .torrent file') ])
				]),
				E('p', [ _('Its payload is looked for in the payload folder of the settings; what is missing there is downloaded.') ])
			])
		]);
	},

	handleSaveApply: null,
	handleSave: null,
	handleReset: null
});
