'use strict';
'require baseclass';
'require fs';

/* What the views share: asking milletd through its command line, and values as people read them. */

const PROGRAM = '/usr/bin/millet';

return baseclass.extend({
	/* The command's JSON. Rejects with the command's own line, which says what is wrong and what to do. */
	ask: function(...words) {
		return fs.exec(PROGRAM, [ '--json', ...words ]).then((res) => {
			if (res.code !== 0)
				throw new Error((res.stderr || res.stdout || '').trim() || _('millet ended with %d').format(res.code));
			return JSON.parse(res.stdout);
		});
	},

	bytes: (count) => '%1024.1mB'.format(count),
	rate: (count) => '%1024.1mB/s'.format(count),

	/* Amounts are decimal text, six places: they do not fit a number. */
	btt: (amount) => '%s BTT'.format(amount),

	percent: (done, all) => all > 0 ? Math.floor(100 * done / all) : 100,

	state: function(name) {
		return {
			checking: _('checking'),
			downloading: _('downloading'),
			seeding: _('seeding'),
			paused: _('paused'),
			missing: _('waits for its disk'),
			error: _('error')
		}[name] || name;
	},

	/* Facts as a two-column table. */
	facts: function(rows) {
		return E('table', { 'class': 'table' }, rows.map(([ name, value ]) =>
			E('tr', { 'class': 'tr' }, [
				E('td', { 'class': 'td left', 'width': '33%' }, [ name ]),
				E('td', { 'class': 'td left' }, [ value ])
			])));
	},

	failure: (reason) => E('div', { 'class': 'alert-message warning' }, [ reason.message ])
});
