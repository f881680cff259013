/* A desktop to look at: Xvnc with two terminals of known colours, one of which keeps what is typed into it.
 * It must never ask the VNC side what the picture is: the truth comes from the X server by xwd. */
'use strict';

const assert = require('node:assert');
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { until } = require('./check');
const { directory, freePort, reachable, start } = require('./rig');

const WIDTH = 480, HEIGHT = 320;

/* Where a pixel has which colour once both terminals are there; text never comes as far as the first one. */
const PATCHES = [
	{ x: 300, y: 240, rgb: [0xc0, 0x30, 0x10] },
	{ x: 200, y: 80, rgb: [0x10, 0x60, 0xc0] },
	{ x: 470, y: 10, rgb: [0, 0, 0] },
];

function terminal(suite, display, color, position, script) {
	start(suite, 'xterm', ['-display', display, '-fn', 'fixed', '-fg', 'white', '-bg', color, '-geometry', `36x7${position}`,
		'-b', '0', '-bw', '0', '+sb', '-e', 'sh', '-c', script]);
}

/* Reads what `xwd` wrote: a header of 32-bit words, a table of colours, and lines of 32-bit pixels. */
function readDump(dump) {
	const word = (n) => dump.readUInt32BE(4 * n);
	const [width, height, bits, stride] = [word(4), word(5), word(11), word(12)];
	const littleEndian = word(7) === 0;
	assert(bits === 32, `xwd gave ${bits} bits a pixel`);
	const pixels = word(0) + 12 * word(19);
	const rgba = Buffer.alloc(width * height * 4, 255);
	for (let y = 0; y < height; y++) {
		for (let x = 0; x < width; x++) {
			const at = pixels + y * stride + 4 * x, to = 4 * (y * width + x);
			const value = littleEndian ? dump.readUInt32LE(at) : dump.readUInt32BE(at);
			rgba.writeUIntBE(value & 0xffffff, to, 3);
		}
	}
	return { width, height, rgba };
}

class Desktop {
	constructor(display, port, socket, typed) {
		Object.assign(this, { display, port, socket, typedFile: typed });
		this.size = { width: WIDTH, height: HEIGHT };
		this.patch = PATCHES[0];
		this.keyboard = { x: 100, y: 60 }; /* a place inside the terminal that takes text */
	}

	picture() {
		return readDump(execFileSync('xwd', ['-root', '-silent', '-display', this.display], { maxBuffer: 1 << 26 }));
	}

	typed() {
		return fs.readFileSync(this.typedFile, 'utf8');
	}

	isPainted() {
		const { rgba } = this.picture();
		return PATCHES.every(({ x, y, rgb }) => rgb.every((value, i) => rgba[4 * (y * WIDTH + x) + i] === value));
	}
}

async function displayNumber(server) {
	let text = '';
	server.stdio[3].on('data', (data) => (text += data));
	await until('Xvnc tells its display', () => {
		assert(!server.over, `Xvnc ended at once:\n${server.log}`);
		return text.includes('\n');
	});
	return `:${text.trim()}`;
}

async function startDesktop(suite) {
	const dir = directory(suite), port = await freePort();
	const socket = path.join(dir, 'rfb.sock'), typed = path.join(dir, 'typed');
	const server = start(suite, 'Xvnc', ['-displayfd', '3', '-geometry', `${WIDTH}x${HEIGHT}`, '-depth', '24', '-br', '-ac',
		'-SecurityTypes', 'None', '-localhost', '-rfbport', String(port), '-rfbunixpath', socket,
		'-rfbunixmode', '0666', '-nolisten', 'tcp'],
	{ stdio: ['ignore', 'pipe', 'pipe', 'pipe'], cwd: dir });
	const display = await displayNumber(server);
	await reachable(server, port);

	fs.writeFileSync(typed, '');
	terminal(suite, display, '#1060c0', '+20+20', `exec cat > '${typed}'`);
	terminal(suite, display, '#c03010', '+220+180', 'printf "sallyport\\n0123456789\\n"; exec cat > /dev/null');
	const desktop = new Desktop(display, port, socket, typed);
	await until('the terminals are painted', () => desktop.isPainted());
	return desktop;
}

module.exports = { startDesktop };
