/* SSH over WebSocket: the ssh2 client on a ws stream, through the gateway, to a throw-away OpenSSH server.
 * It must never touch the machine's own SSH: keys, configuration and port are made for this run. */
'use strict';

const assert = require('node:assert');
const crypto = require('node:crypto');
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { once } = require('node:events');
const { Client } = require('ssh2');
const { WebSocket, createWebSocketStream } = require('ws');
const { run, within } = require('./check');
const { certificate, directory, echoServer, freePort, quickGateway, reachable, start } = require('./rig');

const SIZE = 64 << 20;

function makeKey(dir, name) {
	const file = path.join(dir, name);
	execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', name, '-f', file]);
	return file;
}

async function startServer(suite) {
	const dir = directory(suite), port = await freePort();
	const host = makeKey(dir, 'host'), user = makeKey(dir, 'user');
	if (process.getuid() === 0)
		fs.mkdirSync('/run/sshd', { recursive: true, mode: 0o755 }); /* it insists on this directory when it is root */
	fs.writeFileSync(path.join(dir, 'sshd_config'), [
		`ListenAddress 127.0.0.1:${port}`, `HostKey ${host}`, `AuthorizedKeysFile ${user}.pub`, 'PidFile none', 'UsePAM no',
		'StrictModes no', 'PermitRootLogin prohibit-password', 'PasswordAuthentication no', 'KbdInteractiveAuthentication no',
		'AllowTcpForwarding yes', 'Subsystem sftp internal-sftp', 'MaxSessions 100', 'UseDNS no', '',
	].join('\n'));
	const server = start(suite, '/usr/sbin/sshd', ['-D', '-e', '-f', path.join(dir, 'sshd_config')]);
	await reachable(server, port);
	return {
		port, dir,
		privateKey: fs.readFileSync(user),
		hostKey: Buffer.from(fs.readFileSync(`${host}.pub`, 'utf8').split(' ')[1], 'base64'),
	};
}

/* A UNIX socket that leads to a port: sshd itself listens on TCP only. */
async function bridge(suite, dir, port) {
	const where = path.join(dir, 'ssh.sock');
	const sockets = [];
	const server = net.createServer({ allowHalfOpen: true }, (near) => {
		const far = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
		for (const [from, to] of [[near, far], [far, near]])
			from.on('error', () => to.destroy()).pipe(to);
		sockets.push(near, far);
	});
	await new Promise((resolve) => server.listen({ path: where, readableAll: true, writableAll: true }, resolve));
	suite.defer(() => {
		sockets.forEach((socket) => socket.destroy());
		server.close();
	});
	return where;
}

async function logIn(gateway, server) {
	const ws = new WebSocket(`${gateway.ws}/ssh`, { rejectUnauthorized: false, protocol: 'binary' });
	const sock = createWebSocketStream(ws);
	const client = new Client();
	sock.on('error', (error) => client.emit('error', error));
	client.connect({
		sock,
		username: os.userInfo().username,
		privateKey: server.privateKey,
		hostVerifier: (key) => key.equals(server.hostKey),
		readyTimeout: 15_000,
	});
	await once(client, 'ready');
	client.on('error', () => {}); /* what is asked of it later fails by itself */
	client.ws = ws;
	return client;
}

async function execute(client, command, input = '') {
	const channel = await new Promise((resolve, reject) =>
		client.exec(command, (error, stream) => (error ? reject(error) : resolve(stream))));
	const result = { out: [], err: [] };
	channel.on('data', (data) => result.out.push(data));
	channel.stderr.on('data', (data) => result.err.push(data));
	channel.on('exit', (code) => (result.code = code));
	channel.end(input);
	await once(channel, 'close');
	return { code: result.code, out: Buffer.concat(result.out), err: Buffer.concat(result.err).toString() };
}

function sha256(data) {
	return crypto.createHash('sha256').update(data).digest('hex');
}

async function checkCommands(client) {
	const simple = await execute(client, 'echo out; echo err >&2; exit 7');
	assert.deepStrictEqual([simple.code, simple.out.toString(), simple.err], [7, 'out\n', 'err\n']);
	const input = crypto.randomBytes(1 << 20);
	const sum = await execute(client, 'sha256sum', input);
	assert.strictEqual(sum.out.toString().split(' ')[0], sha256(input));
	const all = await Promise.all([...Array(10).keys()].map((n) => execute(client, `echo ${n}`)));
	assert.deepStrictEqual(all.map((one) => one.out.toString()), [...Array(10).keys()].map((n) => `${n}\n`));
}

/* Sends data through a two-way stream that echoes, and gives back what came. */
async function echoed(stream, data) {
	const parts = [];
	stream.on('data', (part) => parts.push(part));
	stream.end(data);
	await once(stream, 'end');
	return Buffer.concat(parts);
}

async function checkForward(client, echo) {
	const data = crypto.randomBytes(4 << 20);
	const stream = await new Promise((resolve, reject) =>
		client.forwardOut('127.0.0.1', 1, '127.0.0.1', echo.port, (error, s) => (error ? reject(error) : resolve(s))));
	assert.strictEqual(sha256(await echoed(stream, data)), sha256(data));
}

async function checkBackwardForward(client) {
	const data = crypto.randomBytes(4 << 20);
	const port = await new Promise((resolve, reject) =>
		client.forwardIn('127.0.0.1', 0, (error, bound) => (error ? reject(error) : resolve(bound))));
	client.once('tcp connection', (info, accept) => {
		const stream = accept();
		stream.pipe(stream);
	});
	const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
	assert.strictEqual(sha256(await echoed(socket, data)), sha256(data));
	socket.destroy();
}

async function checkSftp(client, dir) {
	const [first, there, back] = ['first', 'there', 'back'].map((name) => path.join(dir, name));
	const data = crypto.randomBytes(SIZE);
	fs.writeFileSync(first, data);
	const sftp = await new Promise((resolve, reject) => client.sftp((error, s) => (error ? reject(error) : resolve(s))));
	const call = (name, ...args) => new Promise((resolve, reject) =>
		sftp[name](...args, (error) => (error ? reject(error) : resolve())));
	await call('fastPut', first, there);
	assert.strictEqual(sha256(fs.readFileSync(there)), sha256(data), 'what was put');
	await call('fastGet', there, back);
	assert.strictEqual(sha256(fs.readFileSync(back)), sha256(data), 'what was got');
	for (const file of [first, there, back])
		fs.unlinkSync(file);
}

async function checkLeaving(client) {
	client.end();
	const [code] = await within(10_000, 'the WebSocket closes', once(client.ws, 'close'));
	assert(code === 1000 || code === 1005, `close code ${code}`);
}

run(__filename, async (suite) => {
	const server = await startServer(suite), echo = await echoServer(suite);
	const unix = await bridge(suite, server.dir, server.port);
	const ways = [
		['tcp, ws', await quickGateway(suite, { target: `127.0.0.1:${server.port}` })],
		['unix, wss', await quickGateway(suite, { target: `unix:${unix}`, tls: certificate(server.dir) })],
	];
	for (const [name, gateway] of ways) {
		let client;
		await suite.test(`${name}: log in`, async () => (client = await logIn(gateway, server)));
		if (!client)
			continue;
		await suite.test(`${name}: commands`, () => checkCommands(client));
		await suite.test(`${name}: forwarded port`, () => checkForward(client, echo));
		await suite.test(`${name}: port forwarded back`, () => checkBackwardForward(client));
		await suite.test(`${name}: ${SIZE >> 20} MiB each way by SFTP`, () => checkSftp(client, server.dir), 180_000);
		await suite.test(`${name}: leaving`, () => checkLeaving(client));
	}
});
