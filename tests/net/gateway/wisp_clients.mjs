// SPDX-License-Identifier: Apache-2.0
// Other people's clients of Wisp against the gateway: wisp_clients.mjs NODE_MODULES HOST:PORT CLIENT TCP-ECHO UDP-ECHO HTTP SINK
// CLIENT: wisp-js (version 2), wisp-js-v1, epoxy, epoxy-v1. Each line that it prints is something that worked.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [modules, at, which, tcp, udp, http, silent] = process.argv.slice(2);
const require = createRequire(modules + "/");
const url = `ws://${at}/wisp/`;

function find(name, condition) {
  const dir = `${modules}/${name}`, exports = JSON.parse(readFileSync(`${dir}/package.json`)).exports;
  return pathToFileURL(`${dir}/${exports[condition].import}`).href;
}

function same(a, b) {
  if (Buffer.compare(Buffer.from(a), Buffer.from(b))) throw new Error("other bytes came back");
}

function collect(stream, n) {
  const parts = [];
  let have = 0;
  return new Promise((ok, fail) => {
    stream.onclose = (r) => fail(new Error(`closed: ${r}`));
    stream.onmessage = (d) => { parts.push(Buffer.from(d)); have += d.length; if (have >= n) ok(Buffer.concat(parts)); };
  });
}

async function wispJs(version) {
  globalThis.WebSocket ??= require("ws");
  const { client } = await import(find("@mercuryworkshop/wisp-js", "./client"));
  const c = new client.ClientConnection(url, { wisp_version: version });
  await new Promise((ok, fail) => { c.onopen = ok; c.onclose = () => fail(new Error("closed")); });
  console.log(`version ${c.wisp_version}, "${c.server_motd ?? ""}"`);
  const s = c.create_stream("127.0.0.1", +tcp);
  const data = Buffer.alloc(700001, "moonfence ");
  const all = collect(s, data.length);
  for (let i = 0; i < data.length; i += 1000) s.send(data.subarray(i, i + 1000)); // more packets than the window has
  same(await all, data);
  s.onclose = () => {};
  s.close();
  console.log("tcp ok");
  {
    const u = c.create_stream("127.0.0.1", +udp, "udp");
    const one = collect(u, 8);
    u.send(Buffer.from("datagram"));
    same(await one, Buffer.from("datagram"));
    u.onclose = () => {};
    u.close();
    console.log("udp ok");
  }
  for (const [host, port] of [["127.0.0.1", 9], ["10.1.2.3", 80], ["no-such.test", 80], ["127.0.0.1", +silent]]) {
    const r = await new Promise((ok) => { c.create_stream(host, port).onclose = ok; });
    console.log(`${host}:${port === +silent ? "closed" : port} 0x${r.toString(16)}`);
  }
  // a hundred at the same time, each as long as the others
  await Promise.all(Array.from({ length: 100 }, async (_, i) => {
    const t = c.create_stream("127.0.0.1", +tcp), bytes = Buffer.alloc(50000, `stream ${i} `), back = collect(t, bytes.length);
    for (let k = 0; k < bytes.length; k += 500) t.send(bytes.subarray(k, k + 500));
    same(await back, bytes);
    t.onclose = () => {};
    t.close();
  }));
  console.log("hundred ok");
  c.close();
}

async function epoxy(v2) {
  globalThis.WebSocket = require("ws");
  globalThis.self = globalThis.window = globalThis;
  globalThis.location = { href: `http://${at}/`, protocol: "http:" };
  const Plain = globalThis.Request; // it makes requests of "", which a page has a base for
  globalThis.Request = class extends Plain { constructor(u, o) { super(u || location.href, o); } };
  const E = await import(find("@mercuryworkshop/epoxy-tls", "."));
  await E.default();
  const o = new E.EpoxyClientOptions();
  o.wisp_v2 = v2;
  o.user_agent = "test";
  const c = new E.EpoxyClient(url, o);
  const r = await c.fetch(`http://127.0.0.1:${http}/big`);
  const body = Buffer.from(await r.arrayBuffer());
  same(body, Buffer.alloc(500000, "moonfence "));
  console.log("fetch ok");
  const udpStream = await c.connect_udp(`udp://127.0.0.1:${udp}`);
  await udpStream.write.getWriter().write(new TextEncoder().encode("datagram"));
  same((await udpStream.read.getReader().read()).value, Buffer.from("datagram"));
  console.log("udp ok");
}

setTimeout(() => { console.log("nothing happens"); process.exit(1); }, 100000).unref();
await (which === "wisp-js" ? wispJs(2) : which === "wisp-js-v1" ? wispJs(1) : epoxy(which === "epoxy"));
process.exit(0);
