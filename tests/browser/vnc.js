/* noVNC in Chromium against a real Xvnc through the gateway: the picture, the keyboard, and a hundred sessions. */
'use strict';

const assert = require('node:assert');
const fs = require('node:fs');
const path = require('node:path');
const { run, until } = require('./check');
const { artifacts, browser, certificate, directory, newPage, quickGateway } = require('./rig');
const { startDesktop } = require('./desktop');

const DEBIAN = process.env.NOVNC || '/usr/share/novnc';
const CYCLES = Number(process.env.CYCLES || 100); /* sessions in a row over ws, and over wss */

/* Files that Debian's vnc.html and the browser ask for, and that the package does not have. */
const NOT_PACKAGED = /package\.json|favicon\.ico/;

/* A web root with our page and both kits of noVNC: Debian's, and the newest from npm. */
function webRoot(suite) {
	const root = directory(suite);
	const npm = path.resolve(path.dirname(require.resolve('@novnc/novnc')), '..');
	fs.cpSync(path.join(__dirname, 'pages'), root, { recursive: true });
	for (const [kit, from] of [['debian', DEBIAN], ['npm', npm]])
		for (const part of ['core', 'vendor'])
			fs.cpSync(path.join(from, part), path.join(root, kit, part), { recursive: true });
	return root;
}

/* In the page: how many pixels of noVNC's canvas differ from rgba (base64), and where the first one is. */
function differences({ width, height, rgba }) {
	const canvas = [...document.querySelectorAll('canvas')].find((c) => c.width === width && c.height === height);
	if (!canvas)
		return { count: -1, first: 'no canvas of that size' };
	const seen = canvas.getContext('2d').getImageData(0, 0, width, height).data;
	const want = Uint8Array.from(atob(rgba), (c) => c.charCodeAt(0));
	let count = 0, first = null;
	for (let i = 0; i < want.length; i += 4) {
		if (seen[i] === want[i] && seen[i + 1] === want[i + 1] && seen[i + 2] === want[i + 2])
			continue;
		first ??= `${(i / 4) % width},${Math.floor(i / 4 / width)}: ${seen.slice(i, i + 3)} instead of ${want.slice(i, i + 3)}`;
		count++;
	}
	return { count, first };
}

async function checkPicture(page, desktop) {
	let last;
	await until('the canvas shows what the X server has', async () => {
		const { width, height, rgba } = desktop.picture();
		last = await page.evaluate(differences, { width, height, rgba: rgba.toString('base64') });
		return last.count === 0;
	}).catch((error) => {
		throw new Error(`${error.message}; ${last.count} pixels differ, the first at ${last.first}`);
	});
}

async function checkKeyboard(page, desktop, line) {
	const { width, height } = desktop.size;
	const handle = await page.evaluateHandle(([w, h]) =>
		[...document.querySelectorAll('canvas')].find((c) => c.width === w && c.height === h), [width, height]);
	const box = await handle.asElement().boundingBox();
	await page.mouse.click(box.x + desktop.keyboard.x, box.y + desktop.keyboard.y);
	await page.keyboard.type(`${line}\n`);
	await until(`"${line}" arrives in the terminal`, () => desktop.typed().endsWith(`${line}\n`)).catch((error) => {
		throw new Error(`${error.message}; it has ${JSON.stringify(desktop.typed().slice(-200))}`);
	});
}

/* Closes a page that must have had nothing to complain about. */
async function closeContent(page) {
	const complaints = page.complaints.filter((line) => !NOT_PACKAGED.test(line));
	assert.strictEqual(complaints.length, 0, `${complaints.length} complaints, the first: ${complaints[0]}`);
	await page.context().close();
}

/* One page: it connects, shows the picture, takes text, and complains about nothing. */
async function checkPage(chromium, desktop, url, name, open) {
	const page = await newPage(chromium, url);
	if (open)
		await open(page);
	await page.waitForFunction(({ width, height }) =>
		[...document.querySelectorAll('canvas')].some((c) => c.width === width && c.height === height), desktop.size);
	await checkPicture(page, desktop);
	await checkKeyboard(page, desktop, `Typed by ${name}: aZ 09 ~!@#$%^&*()_+{}|:"<>?`);
	await checkPicture(page, desktop);
	await page.screenshot({ path: path.join(artifacts(), `vnc-${name}.png`) });
	await closeContent(page);
}

async function openKit(page) {
	await page.waitForFunction(() => window.ready);
	await page.evaluate(async () => {
		window.rfb = await window.connectTo('websockify');
	});
}

/* In the page: resolves when a patch of noVNC's canvas has its colour. */
async function patchShows({ width, height, patch }) {
	const canvas = [...document.querySelectorAll('canvas')].find((c) => c.width === width && c.height === height);
	const ink = canvas.getContext('2d', { willReadFrequently: true });
	const shows = () => ink.getImageData(patch.x, patch.y, 1, 1).data.slice(0, 3).every((v, k) => v === patch.rgb[k]);
	while (!shows())
		await new Promise((resolve) => requestAnimationFrame(resolve));
}

/* One session: connects, sees the desktop, types a line, disconnects. */
async function cycle(page, desktop, line) {
	await openKit(page);
	await page.evaluate(patchShows, { ...desktop.size, patch: desktop.patch });
	await checkKeyboard(page, desktop, line);
	assert(await page.evaluate(() => window.disconnectFrom(window.rfb)), `session "${line}" did not end cleanly`);
}

async function checkCycles(chromium, desktop, url, name) {
	const page = await newPage(chromium, url);
	for (let i = 1; i <= CYCLES; i++)
		await cycle(page, desktop, `${name} ${i}`);
	await closeContent(page);
}

run(__filename, async (suite) => {
	const desktop = await startDesktop(suite);
	const chromium = await browser(suite);
	const web = webRoot(suite), tls = certificate(directory(suite));
	const target = `127.0.0.1:${desktop.port}`;
	const debian = await quickGateway(suite, { web: DEBIAN, target });
	const debianTls = await quickGateway(suite, { web: DEBIAN, target, tls });
	const own = await quickGateway(suite, { web, target });
	const ownTls = await quickGateway(suite, { web, target, tls });
	const unix = await quickGateway(suite, { web, target: `unix:${desktop.socket}` });

	const pages = [
		['debian-vnc-ws', `${debian.http}/vnc.html?autoconnect=1&resize=off`],
		['debian-vnc-wss', `${debianTls.http}/vnc.html?autoconnect=1&resize=off`],
		['debian-lite-ws', `${debian.http}/vnc_lite.html`],
		['debian-lite-wss', `${debianTls.http}/vnc_lite.html`],
		['debian-core-wss', `${ownTls.http}/novnc.html?kit=debian`, openKit],
		['npm-ws', `${own.http}/novnc.html?kit=npm`, openKit],
		['npm-wss', `${ownTls.http}/novnc.html?kit=npm`, openKit],
		['npm-ws-unix', `${unix.http}/novnc.html?kit=npm`, openKit],
	];
	for (const [name, url, open] of pages)
		await suite.test(`picture and keyboard, ${name}`, () => checkPage(chromium, desktop, url, name, open));
	for (const [name, gateway] of [['ws', own], ['wss', ownTls]])
		await suite.test(`${CYCLES} sessions over ${name}: picture, keyboard, end, no complaint of the page's`,
			() => checkCycles(chromium, desktop, `${gateway.http}/novnc.html?kit=npm`, name), 1000 * (60 + 2 * CYCLES));
});
