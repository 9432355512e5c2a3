// SPDX-License-Identifier: Apache-2.0
// An emulated PC (v86) whose firmware iPXE has a network card behind ws://GATEWAY/raw: it runs one line of iPXE's script language, and says
// on stdout what is on its screen whenever that changes.
// node v86_guest.mjs NODE_MODULES WEBSOCKET-URL IPXE-COMMANDS
import { createRequire } from "node:module";
import fs from "node:fs";
import path from "node:path";

const [modules, url, commands] = process.argv.slice(2);
const require = createRequire(path.join(modules, "x.js"));
globalThis.WebSocket = require("ws");
const { V86 } = await import(path.join(modules, "v86/build/libv86.mjs"));
// a whole number of words, which v86 wants of a kernel
const file = name => {
	const b = fs.readFileSync(name), whole = new Uint8Array((b.length + 3) & ~3);
	whole.set(b);
	return { buffer: name.endsWith(".bin") ? b.buffer.slice(b.byteOffset, b.byteOffset + b.length) : whole.buffer };
};

const pc = new V86({
	wasm_path: path.join(modules, "v86/build/v86.wasm"),
	bios: file("/usr/share/seabios/bios.bin"),
	vga_bios: file("/usr/share/seabios/vgabios-stdvga.bin"),
	bzimage: file("/boot/ipxe.lkrn"),
	cmdline: commands,
	memory_size: 64 << 20,
	autostart: true,
	disable_keyboard: true, disable_mouse: true, disable_speaker: true,
	net_device: { type: "ne2k", relay_url: url },
});
const screen = Array.from({ length: 100 }, () => Array(80).fill(" "));
let last = "";
pc.add_listener("screen-put-char", ([row, column, character]) => { if (screen[row]) screen[row][column] = String.fromCharCode(character || 32); });
setInterval(() => {
	const text = screen.map(row => row.join("").trimEnd()).filter(row => row).join("\n");
	if (text !== last)
		process.stdout.write(`${text}\n--\n`);
	last = text;
}, 200);
