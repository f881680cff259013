/* What WebSocket clients see of the gateway: Chromium's own, npm's ws, and Python's websockets.
 * It must never speak the protocol itself: that is what the clients are for. */
'use strict';

const assert = require('node:assert');
const crypto = require('node:crypto');
const { once } = require('node:events');
const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');
const { WebSocket } = require('ws');
const { run, until, within } = require('./check');
const { browser, certificate, configuredGateway, directory, echoServer, foreignSite, freePort, listen, newPage, start } =
	require('./rig');

/* --- Chromium ------------------------------------------------------------------------------------------------------- */

/* In the page: opens url, sends, and tells everything that happened. sends: [kind, text or length] each; what has a length
 * is filled with bytes that count up. The socket is closed by close(code, reason) once enough bytes came back. */
function converse({ url, protocols = [], sends = [], closing = [1000], waitForClose = false }) {
	return new Promise((resolve) => {
		const log = { events: [], messages: [], bytes: 0 };
		const ws = new WebSocket(url, protocols);
		ws.binaryType = 'arraybuffer';
		const fill = (n) => Uint8Array.from({ length: n }, (_, i) => (i * 7 + (i >> 8)) & 255);
		const make = {
			text: (value) => value,
			buffer: (n) => fill(n).buffer,
			view: (n) => fill(n + 9).subarray(4, n + 4),
			blob: (n) => new Blob([fill(n)]),
		};
		const size = (value) => value.byteLength ?? value.size ?? new TextEncoder().encode(value).length;
		let expected = 0;
		const goOn = () => {
			if (!waitForClose && log.bytes >= expected && log.messages.length >= (expected === 0 ? sends.length : 0))
				ws.close(...closing);
		};
		ws.onopen = () => {
			log.events.push('open');
			log.protocol = ws.protocol;
			log.extensions = ws.extensions;
			for (const [kind, value] of sends) {
				const message = make[kind](value);
				expected += size(message);
				ws.send(message);
			}
			goOn();
		};
		ws.onmessage = ({ data }) => {
			const text = typeof data === 'string';
			const bytes = text ? new TextEncoder().encode(data) : new Uint8Array(data);
			log.bytes += bytes.length;
			log.messages.push([text ? 'text' : 'binary', text ? data : bytes.length]);
			const from = log.bytes - bytes.length;
			if (!text && sends.length === 1 && bytes.some((b, i) => b !== (((from + i) * 7 + ((from + i) >> 8)) & 255)))
				log.wrong ??= from;
			log.tail = text ? log.tail : [...bytes.slice(-4)];
			goOn();
		};
		ws.onerror = () => log.events.push('error');
		ws.onclose = ({ code, reason, wasClean }) => {
			log.events.push('close');
			resolve({ ...log, code, reason, wasClean });
		};
	});
}

/* In the page: sends much at once and waits until all of it left. */
async function sendMuch({ url, pieces, size }) {
	const ws = new WebSocket(url);
	ws.binaryType = 'arraybuffer';
	let came = 0;
	ws.onmessage = ({ data }) => (came += data.byteLength);
	await new Promise((resolve, reject) => ([ws.onopen, ws.onclose] = [resolve, reject]));
	for (let i = 0; i < pieces; i++)
		ws.send(new Uint8Array(size));
	const highest = ws.bufferedAmount;
	while (ws.bufferedAmount > 0 || came < pieces * size)
		await new Promise((resolve) => setTimeout(resolve, 5));
	ws.close(1000);
	return { highest, left: ws.bufferedAmount, came };
}

const CLEAN = { events: ['open', 'close'], code: 1000, wasClean: true };

function checkEnd(result, want) {
	const { events, code, wasClean } = result;
	assert.deepStrictEqual({ events, code, wasClean }, want, JSON.stringify(result));
}

async function chromiumTests(suite, gateway) {
	const chromium = await browser(suite);
	const page = await newPage(chromium, `${gateway.http}/`), secret = await newPage(chromium, `${gateway.https}/`);
	const talk = (where, more) => page.evaluate(converse, { url: gateway.ws + where, ...more });
	const test = (name, body) => suite.test(`chromium: ${name}`, body);

	await test('echo: keeps kinds and boundaries', async () => {
		const sends = [
			['text', 'Grüße, 世界 😀'], ['buffer', 5], ['blob', 70000], ['view', 300], ['text', 'x'.repeat(70000)], ['buffer', 1],
		];
		const result = await talk('/echo', { sends });
		checkEnd(result, CLEAN);
		assert.deepStrictEqual(result.messages, sends.map(([kind, value]) => [kind === 'text' ? 'text' : 'binary', value]));
	});
	await test('echo: empty messages', async () => {
		const result = await talk('/echo', { sends: [['text', ''], ['buffer', 0]] });
		checkEnd(result, CLEAN);
		assert.deepStrictEqual(result.messages, [['text', ''], ['binary', 0]]);
	});
	await test('echo: 32 MiB in one message', async () => {
		const result = await talk('/echo', { sends: [['buffer', 32 << 20]] });
		checkEnd(result, CLEAN);
		assert.deepStrictEqual(result.messages, [['binary', 32 << 20]]);
		assert.strictEqual(result.wrong, undefined);
	});
	for (const kind of ['text', 'buffer', 'blob', 'view']) {
		await test(`a TCP echo gives back the bytes of a ${kind}`, async () => {
			const result = await talk('/bytes', { sends: [[kind, kind === 'text' ? 'Größe: 7' : 200_000]] });
			checkEnd(result, CLEAN);
			assert(result.messages.every(([got]) => got === 'binary'));
			assert.strictEqual(result.bytes, kind === 'text' ? 10 : 200_000);
			if (kind === 'text')
				assert.deepStrictEqual(result.tail, [...Buffer.from('e: 7')]);
			else if (kind !== 'view') /* a view begins in the middle of its buffer */
				assert.strictEqual(result.wrong, undefined);
		});
	}
	await test('send = text gives strings', async () => {
		const result = await talk('/texts', { sends: [['text', 'plain text']] });
		checkEnd(result, CLEAN);
		assert.strictEqual(result.messages.map(([, text]) => text).join(''), 'plain text');
		assert(result.messages.every(([got]) => got === 'text'));
	});
	await test('no subprotocol, and one of those offered', async () => {
		assert.strictEqual((await talk('/echo')).protocol, '');
		assert.strictEqual((await talk('/echo', { protocols: ['base64', 'binary'] })).protocol, 'binary');
	});
	await test('no extension', async () => assert.strictEqual((await talk('/echo')).extensions, ''));
	for (const closing of [[], [1000], [3000], [4999, 'ein Gruß']]) {
		await test(`close(${closing}) is answered with the same`, async () => {
			const result = await talk('/bytes', { closing });
			checkEnd(result, { ...CLEAN, code: closing[0] ?? 1005 });
			assert.strictEqual(result.reason, closing[1] ?? '');
		});
	}
	await test('the backend says good-bye: 1000, after its last byte', async () => {
		const result = await talk('/leaving', { waitForClose: true });
		checkEnd(result, CLEAN);
		assert.strictEqual(result.bytes, 100_000);
	});
	await test('an unreachable backend: 1014 and why', async () => {
		const result = await talk('/nobody', { waitForClose: true });
		checkEnd(result, { ...CLEAN, code: 1014 });
		assert.match(result.reason, /\w+ \w+/);
	});
	await test('text where only binary is taken: 1003 and why', async () => {
		const result = await talk('/binary', { sends: [['text', 'no']], waitForClose: true });
		checkEnd(result, { ...CLEAN, code: 1003 });
		assert.match(result.reason, /\w+ \w+/);
	});
	await test('a message over its limit: 1009 and why', async () => {
		const result = await talk('/small', { sends: [['buffer', 2000]], waitForClose: true });
		checkEnd(result, { ...CLEAN, code: 1009 });
		assert.match(result.reason, /\w+ \w+/);
	});
	await test('a path that leads nowhere: error, 1006', async () => {
		checkEnd(await talk('/nothing', { waitForClose: true }), { events: ['error', 'close'], code: 1006, wasClean: false });
	});
	await test('bufferedAmount returns to 0', async () => {
		const result = await page.evaluate(sendMuch, { url: `${gateway.ws}/bytes`, pieces: 64, size: 1 << 20 });
		assert(result.highest > 0);
		assert.deepStrictEqual([result.left, result.came], [0, 64 << 20]);
	});
	await test('wss', async () => {
		const sends = [['text', 'secret'], ['buffer', 1 << 20]];
		const result = await secret.evaluate(converse, { url: `${gateway.wss}/echo`, sends });
		checkEnd(result, CLEAN);
		assert.deepStrictEqual(result.messages, [['text', 'secret'], ['binary', 1 << 20]]);
	});
	await test('leaving the page ends the session at the backend', async () => {
		const leaver = await newPage(chromium, `${gateway.http}/`), before = gateway.echo.sockets.length;
		await leaver.evaluate((url) => new Promise((resolve) => (new WebSocket(url).onopen = resolve)), `${gateway.ws}/bytes`);
		await until('the backend is connected', () => gateway.echo.sockets.length > before);
		const socket = gateway.echo.sockets[before];
		const ended = once(socket, 'end');
		await leaver.goto('about:blank');
		await within(10_000, 'the backend sees the end', ended);
		await leaver.context().close();
	});
	await originTests(suite, gateway, chromium, test);
}

/* In the page: tries all URLs at once, since a browser makes whoever failed before wait for seconds; tells how many could be
 * opened, and how the attempts ended. */
async function tryAll(urls) {
	const attempt = (url) => new Promise((resolve) => {
		const ws = new WebSocket(url);
		let opened = false;
		ws.onopen = () => (opened = true);
		ws.onmessage = () => (opened = true);
		ws.onclose = (event) => resolve([opened, event.code]);
	});
	const ends = await Promise.all(urls.map(attempt));
	return { opened: ends.filter(([opened]) => opened).length, codes: [...new Set(ends.map(([, code]) => code))] };
}

/* Cross-site WebSocket hijacking: pages of another port, of another name for the same address, and of no origin. */
async function hijackTest(suite, gateway, chromium) {
	const paths = ['/bytes', '/echo', '/texts', '/small'], port = new URL(gateway.http).port;
	const urls = Array.from({ length: 34 }, (_, i) => (i % 2 ? gateway.ws : gateway.wss) + paths[i % paths.length]);
	const before = gateway.echo.sockets.length;
	const tryFrom = async (where) => {
		const page = await newPage(chromium, where);
		assert.deepStrictEqual(await page.evaluate(tryAll, urls), { opened: 0, codes: [1006] }, `from ${where}`);
		await page.context().close();
	};
	const places = [await foreignSite(suite), `http://localhost:${port}/`, 'data:text/html,nowhere'];
	await Promise.all(places.map(tryFrom));
	assert.strictEqual(gateway.echo.sockets.length, before, 'a backend was reached');
}

async function originTests(suite, gateway, chromium, test) {
	await test('pages of other origins open 0 of 102 sockets', () => hijackTest(suite, gateway, chromium));
	const foreign = await newPage(chromium, await foreignSite(suite));
	const from = (where) => foreign.evaluate(converse, { url: gateway.ws + where });
	await test('a page of another origin is refused: error, 1006', async () => {
		checkEnd(await from('/echo'), { events: ['error', 'close'], code: 1006, wasClean: false });
		assert(foreign.complaints.some((line) => line.includes('403')), JSON.stringify(foreign.complaints));
	});
	await test('a page of another origin, where any may come', async () => checkEnd(await from('/open'), CLEAN));
	await test('a page without an origin is refused', async () => {
		const page = await newPage(chromium, 'data:text/html,nowhere');
		const result = await page.evaluate(converse, { url: `${gateway.ws}/echo` });
		checkEnd(result, { events: ['error', 'close'], code: 1006, wasClean: false });
	});
}

/* --- npm's ws ------------------------------------------------------------------------------------------------------- */

async function connect(url, options = {}) {
	const ws = new WebSocket(url, { rejectUnauthorized: false, ...options });
	ws.messages = [];
	ws.on('message', (data, binary) => ws.messages.push([binary, data]));
	ws.ended = new Promise((resolve) => ws.on('close', (code, reason) => resolve([code, reason.toString()])));
	await within(10_000, `open ${url}`, once(ws, 'open'));
	ws.on('error', () => {});
	return ws;
}

async function messages(ws, count) {
	await until(`${count} messages`, () => ws.messages.length >= count);
	return ws.messages;
}

function refused(url, options = {}) {
	const ws = new WebSocket(url, options);
	ws.on('error', () => {});
	return within(10_000, 'the refusal', once(ws, 'unexpected-response')).then(([request, response]) => {
		request.destroy();
		return response;
	});
}

async function wsTests(suite, gateway) {
	const test = (name, body) => suite.test(`ws: ${name}`, body);
	for (const [name, base] of [['ws', gateway.ws], ['wss', gateway.wss], ['unix', `ws+unix:${gateway.unix}:`]]) {
		await test(`${name}: ping is answered with its payload`, async () => {
			const ws = await connect(`${base}/echo`);
			const payload = crypto.randomBytes(125), pong = once(ws, 'pong');
			ws.ping(payload);
			assert((await within(5000, 'pong', pong))[0].equals(payload));
			ws.close();
			assert.deepStrictEqual(await ws.ended, [1005, '']);
		});
		await test(`${name}: messages from 0 bytes to 16 MiB`, async () => {
			const ws = await connect(`${base}/echo`);
			const sent = [0, 1, 125, 126, 127, 65535, 65536, 65537, 16 << 20].map((n) => crypto.randomBytes(n));
			sent.forEach((data) => ws.send(data));
			const got = await messages(ws, sent.length);
			got.forEach(([binary, data], i) => assert(binary && data.equals(sent[i]), `message of ${sent[i].length}`));
			ws.close(1000, 'enough');
			assert.deepStrictEqual(await ws.ended, [1000, 'enough']);
		});
	}
	await test('compression is offered and declined', async () => {
		const ws = await connect(`${gateway.ws}/echo`, { perMessageDeflate: true });
		assert.strictEqual(ws.extensions, '');
		ws.close();
		await ws.ended;
	});
	await test('a message in fragments, with pings between them', async () => {
		const ws = await connect(`${gateway.ws}/echo`);
		const parts = [...Array(50).keys()].map((n) => `Teil ${n} ä€😀;`);
		let pongs = 0;
		ws.on('pong', () => pongs++);
		parts.forEach((part, i) => {
			ws.send(part, { fin: i === parts.length - 1 });
			if (i === 25)
				ws.ping();
		});
		const [[binary, data]] = await messages(ws, 1);
		assert.deepStrictEqual([binary, data.toString(), ws.messages.length], [false, parts.join(''), 1]);
		assert.strictEqual(pongs, 1);
		ws.close();
		await ws.ended;
	});
	await test('a character cut by fragments is still text', async () => {
		const ws = await connect(`${gateway.ws}/echo`), bytes = Buffer.from('😀');
		for (let i = 0; i < bytes.length; i++)
			ws.send(bytes.subarray(i, i + 1), { binary: false, fin: i === bytes.length - 1 });
		const [[, data]] = await messages(ws, 1);
		assert.strictEqual(data.toString(), '😀');
		ws.close();
		await ws.ended;
	});
	await test('text that is not UTF-8: 1007', async () => {
		const ws = await connect(`${gateway.ws}/echo`);
		ws.send(Buffer.from([0x61, 0xff]), { binary: false });
		assert.strictEqual((await ws.ended)[0], 1007);
	});
	for (const [code, reason] of [[1000, ''], [1001, 'off'], [1011, 'x'.repeat(123)], [3000, 'ü'], [4999, 'own']]) {
		await test(`close ${code} is answered with the same`, async () => {
			const ws = await connect(`${gateway.ws}/bytes`);
			ws.close(code, reason);
			assert.deepStrictEqual(await ws.ended, [code, reason]);
		});
	}
	await test('everything sent before the close reaches the backend', async () => {
		const before = gateway.echo.sockets.length, data = crypto.randomBytes(8 << 20);
		const ws = await connect(`${gateway.ws}/bytes`);
		await until('the backend is connected', () => gateway.echo.sockets.length > before);
		const socket = gateway.echo.sockets[before], ended = once(socket, 'end');
		for (let at = 0; at < data.length; at += 10_000)
			ws.send(data.subarray(at, at + 10_000));
		ws.close(1000);
		await within(20_000, 'the end', ended);
		assert.strictEqual(socket.bytesRead, data.length);
		await ws.ended;
	});
	await test('a client that vanishes ends the session at the backend', async () => {
		const before = gateway.echo.sockets.length;
		const ws = await connect(`${gateway.ws}/bytes`);
		await until('the backend is connected', () => gateway.echo.sockets.length > before);
		const ended = once(gateway.echo.sockets[before], 'end');
		ws.terminate();
		await within(10_000, 'the end', ended);
	});
	await test('a client that is no browser learns by status why not', async () => {
		assert.strictEqual((await refused(`${gateway.ws}/nobody`)).statusCode, 502);
		assert.strictEqual((await refused(`${gateway.ws}/nothing`)).statusCode, 404);
		assert.strictEqual((await refused(`${gateway.ws}/echo`, { origin: 'http://evil.example' })).statusCode, 403);
	});
	await test('200 sessions at once', async () => {
		const all = await Promise.all([...Array(200).keys()].map(() => connect(`${gateway.ws}/bytes`)));
		all.forEach((ws, i) => ws.send(`session ${i}`));
		for (const [i, ws] of all.entries()) {
			assert.strictEqual((await messages(ws, 1))[0][1].toString(), `session ${i}`);
			ws.close(1000);
		}
		for (const ws of all)
			assert.strictEqual((await ws.ended)[0], 1000);
	});
}

/* --- Python's websockets -------------------------------------------------------------------------------------------- */

async function pythonTests(suite, gateway) {
	for (const [name, base] of [['ws', gateway.ws], ['wss', gateway.wss]]) {
		await suite.test(`python websockets: ${name}`, async () => {
			const child = start(suite, '/usr/bin/python3', [path.join(__dirname, 'python_client.py'), base]);
			const { code } = await child.ended;
			assert.strictEqual(code, 0, child.log);
		});
	}
}

/* --- the gateway and its backends ----------------------------------------------------------------------------------- */

/* Sends 100,000 bytes and closes. */
async function leavingServer(suite) {
	return listen(suite, net.createServer((socket) => socket.on('error', () => {}).end(Buffer.alloc(100_000, 'x'))));
}

async function startGateway(suite) {
	const dir = directory(suite), { cert, key } = certificate(dir);
	const echo = await echoServer(suite), [plain, secret] = [await freePort(), await freePort()];
	const text = fs.readFileSync(path.join(__dirname, 'clients.conf'), 'utf8');
	await configuredGateway(suite, text, {
		DIR: dir, CERT: cert, KEY: key, PLAIN: plain, SECRET: secret, PAGES: path.join(__dirname, 'pages'), ECHO: echo.port,
		LEAVING: await leavingServer(suite), NOBODY: await freePort(),
	}, plain);
	return {
		http: `http://127.0.0.1:${plain}`, https: `https://127.0.0.1:${secret}`, ws: `ws://127.0.0.1:${plain}`,
		wss: `wss://127.0.0.1:${secret}`, unix: path.join(dir, 'gateway.sock'), echo,
	};
}

run(__filename, async (suite) => {
	const gateway = await startGateway(suite);
	await wsTests(suite, gateway);
	await pythonTests(suite, gateway);
	await chromiumTests(suite, gateway);
});
