'use strict';
/* A stand-in for LuCI's runtime, as far as the views of millet use it: modules, E(), _(), forms, ui, polling. What they ask of the router
   is answered from PAGE (luci.py), and written down in calls. */

const calls = [];
const instances = {};

function note(kind, what) { calls.push(kind + ' ' + what); }

/* ---- texts ---- */
function _(text) { return PAGE.translations[text] || text; }

String.prototype.format = function(...values) {
	return this.replace(/%(%|s|d|t|([0-9]*)\.([0-9])m)/g, (match, kind, base, digits) => {
		if (kind === '%')
			return '%';
		const value = values.shift();
		if (value === undefined)
			throw new Error('format: "' + this + '" has too few values');
		if (kind === 's')
			return String(value);
		if (kind === 'd')
			return String(Math.trunc(Number(value)));
		if (kind === 't')
			return Math.floor(value / 3600) + 'h ' + Math.floor(value / 60) % 60 + 'm ' + value % 60 + 's';
		let scaled = Number(value), prefix = 0;
		for (; scaled > Number(base); ++prefix)
			scaled /= Number(base);
		return scaled.toFixed(Number(digits)) + ' ' + [ '', 'K', 'M', 'G', 'T' ][prefix];
	});
};

/* ---- elements ---- */
function append(node, children) {
	for (const child of [ children ].flat(Infinity))
		if (child !== null && child !== undefined)
			node.append(child instanceof Node ? child : document.createTextNode(String(child)));
	return node;
}

function E(tag, attributes, children) {
	if (Array.isArray(tag))
		return append(document.createDocumentFragment(), attributes ?? []);
	const node = document.createElement(tag);
	if (Array.isArray(attributes) || typeof attributes === 'string' || attributes instanceof Node)
		return append(node, attributes);
	for (const [ name, value ] of Object.entries(attributes || {})) {
		if (typeof value === 'function')
			node.addEventListener(name, value);
		else if (value !== null && value !== undefined)
			node.setAttribute(name, value);
	}
	return append(node, children ?? []);
}

/* ---- modules ---- */
class Base {
	static extend(properties) {
		const made = class extends this {};
		Object.assign(made.prototype, properties);
		return made;
	}
}

function answer(words) {
	note('exec', words.join(' '));
	const known = PAGE.answers[words.join(' ')] ?? PAGE.answers['*'];
	return Promise.resolve(known ?? { code: 1, stdout: '', stderr: 'no answer to ' + words.join(' ') });
}

class Option {
	constructor(name, title, description) { Object.assign(this, { name, title, description, choices: [], conditions: {} }); }
	value(key, label) { this.choices.push([ key, label ]); }
	depends(name, value) { this.conditions[name] = value; }
	render(section) {
		const stored = PAGE.config?.[section]?.[this.name];
		return E('div', { 'class': 'cbi-value', 'data-option': section + '.' + this.name, 'data-kind': this.constructor.name, 'data-type': this.datatype ?? '',
			'data-default': this.default ?? this.placeholder ?? '', 'data-choices': this.choices.map(([ key ]) => key).join(' ') }, [
			E('label', { 'class': 'cbi-value-title' }, [ this.title ]),
			E('input', { value: stored ?? this.default ?? '' }),
			E('div', { 'class': 'cbi-value-description' }, [ this.description ])
		]);
	}
}
class Value extends Option {}
class Flag extends Option {}
class ListValue extends Option {}
class ZoneSelect extends Value {}
class NetworkSelect extends Value {}

class NamedSection {
	constructor(name, type, title) { Object.assign(this, { name, type, title, options: [] }); }
	option(kind, name, title, description) {
		const made = new kind(name, title, description);
		this.options.push(made);
		return made;
	}
	render() { return E('div', { 'class': 'cbi-section', 'data-type': this.type }, [ E('h3', [ this.title ]) ].concat(this.options.map((option) => option.render(this.name)))); }
}

class Map_ {
	constructor(config, title, description) { Object.assign(this, { config, title, description, sections: [] }); }
	section(kind, ...words) {
		const made = new kind(...words);
		this.sections.push(made);
		return made;
	}
	render() {
		return Promise.resolve(E('div', { 'class': 'cbi-map', 'data-config': this.config }, [ E('h2', [ this.title ]), E('p', [ this.description ]) ].concat(this.sections.map((section) => section.render()))));
	}
}

const builtin = {
	baseclass: Base,
	view: class extends Base {},
	fs: { exec: (program, words) => answer([ program, ...words ]), remove: (path) => { note('remove', path); return Promise.resolve(0); } },
	rpc: { declare: (method) => (...words) => { note('ubus', method.object + ' ' + method.method + ' ' + words.join(' ')); return Promise.resolve(PAGE.ubus[method.object + ' ' + method.method] ?? {}); } },
	poll: { add: (redraw) => { window.redraw = redraw; } },
	form: { Map: Map_, NamedSection, Value, Flag, ListValue },
	'tools.widgets': { ZoneSelect, NetworkSelect },
	ui: {
		/* As there: the event comes after the arguments that were given. */
		createHandlerFn: (context, handler, ...words) => (event) => (typeof handler === 'string' ? context[handler] : handler).call(context, ...words, event),
		addNotification: (title, node) => document.getElementById('notifications').append(node),
		showModal: (title, nodes) => append(document.getElementById('modal'), [ E('h4', [ title ]) ].concat(nodes)),
		hideModal: () => document.getElementById('modal').replaceChildren(),
		uploadFile: (path) => { note('upload', path); return Promise.resolve({ name: 'a.torrent' }); }
	}
};

const L = { resolveDefault: (promise, value) => Promise.resolve(promise).catch(() => value) };

function load(name) {
	if (builtin[name])
		return builtin[name];
	if (instances[name])
		return instances[name];
	const source = PAGE.sources[name];
	if (source === undefined)
		throw new Error('there is no module ' + name);
	const names = [], values = [];
	for (const [ , wanted, alias ] of source.matchAll(/^'require ([a-z.]+)(?: as ([a-z]+))?';$/gm)) {
		names.push(alias || wanted.split('.').pop());
		values.push(load(wanted));
	}
	const made = new (new Function(...names, 'E', '_', 'L', source)(...values, E, _, L))();
	return (instances[name] = made);
}

/* ---- the page ---- */
function pause() { return new Promise((done) => setTimeout(done, 10)); }

async function main() {
	const shown = load(PAGE.view);
	const data = await (shown.load ? shown.load() : undefined);
	document.getElementById('view').append(await shown.render(data));
	if (window.redraw)
		await window.redraw();
	/* What a person presses, one after the other: "button label" or "button label@row". */
	for (const press of PAGE.presses) {
		const [ label, row ] = press.split('@');
		const within = row ? document.querySelectorAll('#view tr[data-hash]')[Number(row)] : document;
		const button = [ ...within.querySelectorAll('button') ].reverse().find((candidate) => candidate.textContent === label);
		if (!button)
			throw new Error('there is no button ' + press);
		button.click();
		await pause();
	}
}

window.addEventListener('load', () => main()
	.catch((reason) => calls.push('failed ' + reason.stack))
	.then(() => { document.getElementById('calls').textContent = JSON.stringify(calls); }));
