// SPDX-License-Identifier: Apache-2.0
// A page's side of the gateway, with the WebSocket and fetch that browsers have: client.mjs HOST:PORT TCP-ECHO UDP-ECHO
const [at, tcpPort, udpPort] = process.argv.slice(2);

function open(path, protocols) {
  const ws = new WebSocket(`ws://${at}${path}`, protocols);
  ws.binaryType = "arraybuffer";
  const waiting = [], messages = [];
  ws.onmessage = (e) => (waiting.length ? waiting.shift()(e.data) : messages.push(e.data));
  ws.next = () => (messages.length ? Promise.resolve(messages.shift()) : new Promise((f) => waiting.push(f)));
  return new Promise((ok, fail) => { ws.onopen = () => ok(ws); ws.onerror = () => fail(new Error(path)); });
}

function same(a, b) {
  if (Buffer.compare(Buffer.from(a), Buffer.from(b))) throw new Error("other bytes came back");
}

async function bytes(ws, n) {
  const parts = [];
  for (let have = 0; have < n;) { const p = Buffer.from(await ws.next()); parts.push(p); have += p.length; }
  return Buffer.concat(parts);
}

const tcp = await open(`/tcp?v=1&host=127.0.0.1&port=${tcpPort}`);
const data = Buffer.alloc(700000, "moonfence ");
tcp.send(data);
same(await bytes(tcp, data.length), data);
const closed = new Promise((f) => { tcp.onclose = f; });
tcp.close(1000, "done");
if ((await closed).code !== 1000 || !(await closed).wasClean) throw new Error("not closed in order");
console.log("tcp ok");

const mux = await open("/tcp-mux", "aero-tcp-mux-v1");
if (mux.protocol !== "aero-tcp-mux-v1") throw new Error(mux.protocol);
const frame = (type, id, payload) => { const h = Buffer.alloc(9); h[0] = type; h.writeUInt32BE(id, 1); h.writeUInt32BE(payload.length, 5); return Buffer.concat([h, payload]); };
const target = Buffer.from("127.0.0.1"), openPayload = Buffer.alloc(6 + target.length);
openPayload.writeUInt16BE(target.length, 0); target.copy(openPayload, 2); openPayload.writeUInt16BE(+tcpPort, 2 + target.length);
mux.send(Buffer.concat([frame(1, 1, openPayload), frame(2, 1, Buffer.from("hello"))]));
same(await bytes(mux, 14), frame(2, 1, Buffer.from("hello")));
mux.close();
console.log("mux ok");

const udp = await open("/udp");
if (JSON.parse(await udp.next()).type !== "ready") throw new Error("not ready");
const head = Buffer.from([0x27, 0x10, 127, 0, 0, 1, +udpPort >> 8, +udpPort & 255]);
udp.send(Buffer.concat([head, Buffer.from("datagram")]));
same(await udp.next(), Buffer.concat([head, Buffer.from("datagram")]));
udp.close();
console.log("udp ok");

const q = Buffer.concat([Buffer.from([0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 3]), Buffer.from("www"), Buffer.from([4]), Buffer.from("test"), Buffer.from([0, 0, 1, 0, 1])]);
const r = await fetch(`http://${at}/dns-query`, { method: "POST", headers: { "content-type": "application/dns-message" }, body: q });
const answer = Buffer.from(await r.arrayBuffer());
if (r.status !== 200 || answer.readUInt16BE(0) !== 7 || !answer.includes(Buffer.from([192, 0, 2, 1]))) throw new Error("no answer");
console.log("dns ok");
