/* The real parts that the tests are made of: processes, ports, certificates, the gateway, a browser.
 * It must never let a process outlive its suite, and it waits by connecting, never by sleeping. */
'use strict';

const assert = require('node:assert');
const { spawn, execFileSync } = require('node:child_process');
const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { until, within } = require('./check');

/* What a gateway must never say, whatever the test was about. */
const DISASTER = /Sanitizer|runtime error:|assertion|stack smashing|double free|core dumped/i;

const BROWSER_FLAGS = [
	'--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update',
	'--disable-sync', '--disable-dev-shm-usage',
];

function directory(suite) {
	const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'sallyport-browser-'));
	fs.chmodSync(dir, 0o755); /* for whom the gateway becomes after root started it */
	suite.defer(() => fs.rmSync(dir, { recursive: true, force: true }));
	return dir;
}

function artifacts() {
	const dir = path.resolve(process.env.ARTIFACTS || 'artifacts');
	fs.mkdirSync(dir, { recursive: true });
	return dir;
}

/* Listens on a port that the kernel chose; closes with the suite. */
async function listen(suite, server) {
	await new Promise((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
	suite.defer(() => {
		server.closeAllConnections?.();
		server.close();
	});
	return server.address().port;
}

async function freePort() {
	const server = net.createServer();
	await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
	const { port } = server.address();
	await new Promise((resolve) => server.close(resolve));
	return port;
}

/* A child with its output kept in child.log; stopped by SIGTERM, and by SIGKILL when that does not help. */
function start(suite, command, args, options = {}) {
	const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
	child.log = '';
	child.ended = new Promise((resolve) => {
		child.once('exit', (code, signal) => resolve({ code, signal }));
		child.once('error', (error) => {
			child.log += error.message;
			resolve({ code: -1, signal: null });
		});
	});
	child.ended.then(() => (child.over = true));
	for (const stream of [child.stdout, child.stderr])
		stream?.on('data', (data) => (child.log += data));
	child.stop = async () => {
		child.kill('SIGTERM');
		const end = await within(8000, command, child.ended).catch(() => null);
		if (end === null)
			child.kill('SIGKILL');
		return end;
	};
	suite.defer(child.stop);
	process.once('exit', () => child.over || child.kill('SIGKILL')); /* should the suite itself break down */
	return child;
}

/* where: a port of the loopback address, or the path of a UNIX socket. */
function connects(where) {
	return new Promise((resolve) => {
		const options = typeof where === 'number' ? { port: where, host: '127.0.0.1' } : { path: where };
		const socket = net.connect(options, () => resolve(true));
		socket.once('error', () => resolve(false));
		socket.once('connect', () => socket.destroy());
	});
}

async function reachable(child, where) {
	await until(`${child.spawnfile} listens on ${where}`, () => {
		assert(!child.over, `${child.spawnfile} ended at once:\n${child.log}`);
		return connects(where);
	});
}

/* A self-signed certificate for localhost. */
function certificate(dir) {
	const cert = path.join(dir, 'cert.pem'), key = path.join(dir, 'key.pem');
	execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes',
		'-days', '2', '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1',
		'-keyout', key, '-out', cert], { stdio: 'pipe' });
	return { cert, key };
}

/* Sanitizers make system calls of their own. */
function sandboxed() {
	return !fs.readFileSync(process.env.SALLYPORT).includes('__asan_init');
}

/* Starts the gateway under test and judges it when the suite ends. where: what to wait for. */
async function gateway(suite, args, where) {
	const binary = process.env.SALLYPORT;
	assert(binary && path.isAbsolute(binary), 'the environment must have SALLYPORT=/absolute/path/of/the/binary');
	const child = start(suite, binary, args);
	suite.defer(() => judge(suite, child));
	await reachable(child, where);
	return child;
}

async function judge(suite, child) {
	await suite.test('the gateway ends cleanly', async () => {
		assert(!child.over, `it had ended before it was told to:\n${child.log}`);
		assert.deepStrictEqual(await child.stop(), { code: 0, signal: null }, child.log);
		assert(!DISASTER.test(child.log), child.log);
	});
}

/* The quick form: { web, target, tls: { cert, key } } -> the URLs it is reached by. */
async function quickGateway(suite, { web, target, tls }) {
	const port = await freePort();
	const args = web ? ['--web', web] : [];
	if (!sandboxed())
		args.push('--sandbox', 'off');
	if (tls)
		args.push('--cert', tls.cert, '--key', tls.key, '--tls', 'on');
	const child = await gateway(suite, [...args, `127.0.0.1:${port}`, target], port);
	const s = tls ? 's' : '';
	return { child, port, http: `http${s}://127.0.0.1:${port}`, ws: `ws${s}://127.0.0.1:${port}` };
}

/* A configuration file: text, with @NAME@ replaced by what names says. */
async function configuredGateway(suite, text, names, where) {
	const file = path.join(directory(suite), 'sallyport.conf');
	const filled = text.replace(/@(\w+)@/g, (all, name) => names[name]);
	fs.writeFileSync(file, sandboxed() ? filled : filled.replace('[server]\n', '[server]\nsandbox = off\n'));
	return gateway(suite, ['-c', file], where);
}

async function browser(suite) {
	const { chromium } = require('playwright-core');
	const instance = await chromium.launch({
		executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
		headless: true,
		chromiumSandbox: false,
		args: BROWSER_FLAGS,
	});
	suite.defer(() => instance.close());
	return instance;
}

/* A page in a profile of its own; page.complaints gathers what its console and its scripts reported as errors. */
async function newPage(instance, url) {
	const context = await instance.newContext({ ignoreHTTPSErrors: true, viewport: { width: 1000, height: 700 } });
	const page = await context.newPage();
	page.complaints = [];
	page.on('pageerror', (error) => page.complaints.push(String(error)));
	page.on('console', (message) => {
		if (message.type() === 'error')
			page.complaints.push(`${message.text()} (${message.location().url})`);
	});
	await page.goto(url);
	return page;
}

/* A web server that has nothing to do with the gateway: another origin. */
async function foreignSite(suite) {
	const page = '<!doctype html><title>another origin</title>';
	const server = http.createServer((request, response) => response.setHeader('Content-Type', 'text/html').end(page));
	return `http://127.0.0.1:${await listen(suite, server)}/`;
}

/* A TCP server that sends back what it gets; server.sockets are its connections, ends included. */
async function echoServer(suite) {
	const server = net.createServer({ allowHalfOpen: true }, (socket) => {
		server.sockets.push(socket);
		socket.on('error', () => {});
		socket.pipe(socket);
	});
	server.sockets = [];
	suite.defer(() => server.sockets.forEach((socket) => socket.destroy()));
	server.port = await listen(suite, server);
	return server;
}

module.exports = {
	artifacts, browser, certificate, configuredGateway, directory, echoServer, foreignSite, freePort, listen, newPage,
	quickGateway, reachable, start,
};
