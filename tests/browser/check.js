/* A small test runner: tests of one file run in order and share what was set up before them.
 * It must never leave anything running: what was deferred is undone last first, however the file ends. */
'use strict';

const path = require('node:path');

const TIMEOUT = 60_000;
const LINES = 25; /* of an error, at most */

/* Rejects when a promise takes longer than ms; what names the thing that was waited for. */
function within(ms, what, promise) {
	let timer;
	const late = new Promise((resolve, reject) => {
		timer = setTimeout(() => reject(new Error(`${what}: nothing within ${ms} ms`)), ms);
	});
	return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/* Asks probe() again and again until it gives something true, for things that announce themselves to nobody. */
async function until(what, probe, ms = 20_000) {
	const deadline = Date.now() + ms;
	for (;;) {
		const value = await probe();
		if (value)
			return value;
		if (Date.now() > deadline)
			throw new Error(`${what}: not so within ${ms} ms`);
		await new Promise((resolve) => setTimeout(resolve, 20));
	}
}

class Suite {
	constructor(name) {
		this.name = name;
		this.passed = 0;
		this.failed = 0;
		this.undo = [];
	}

	/* undo() is called when the suite ends. */
	defer(undo) {
		this.undo.push(undo);
	}

	async test(name, body, ms = TIMEOUT) {
		const start = Date.now();
		if (this.stopped)
			return;
		try {
			await within(ms, 'the test', Promise.resolve().then(body));
			this.passed++;
			console.log(`ok      ${this.name}: ${name} (${((Date.now() - start) / 1000).toFixed(1)} s)`);
		} catch (error) {
			this.fail(name, error);
		}
	}

	fail(name, error) {
		if (this.stopped)
			return;
		this.failed++;
		const lines = (error instanceof Error ? error.stack : String(error)).split('\n').slice(0, LINES);
		console.log([`FAILED  ${this.name}: ${name}`, ...lines].join('\n        '));
	}

	async finish() {
		if (this.finishing)
			return;
		this.finishing = true;
		for (const undo of this.undo.reverse())
			await within(20_000, 'tidying up', Promise.resolve().then(undo)).catch((e) => this.fail('tidying up', e));
		console.log(`${this.passed} passed, ${this.failed} failed`);
		process.exit(this.failed > 0 || this.passed === 0 ? 1 : 0);
	}
}

/* body(suite) sets things up and calls suite.test(). The process ends when it is through. */
function run(file, body) {
	process.setMaxListeners(0);
	const suite = new Suite(path.basename(file, '.js'));
	const stop = (why) => {
		if (!suite.stopped)
			suite.fail('the run as a whole', why);
		suite.stopped = true;
		suite.finish();
	};
	for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
		process.on(signal, () => stop(`stopped by ${signal}`));
	process.on('uncaughtException', stop);
	body(suite).catch((error) => suite.fail('setting up', error)).finally(() => suite.finish());
}

module.exports = { run, until, within };
