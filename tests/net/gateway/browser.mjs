// SPDX-License-Identifier: Apache-2.0
// A page in Chromium and the gateway: browser.mjs NODE_MODULES CHROMIUM {gateways and servers as JSON}; one line for each thing that works
import { createRequire } from "node:module";
import dgram from "node:dgram";

const [modules, browserPath, facts] = process.argv.slice(2);
const { chromium } = createRequire(modules + "/")("playwright-core");
const at = JSON.parse(facts);

function assert(what, text) { if (!what) throw new Error(text); }

// UDP echo servers; @peers: the ports that were heard
async function echo(family) {
  const s = dgram.createSocket(family), peers = [];
  s.on("message", (m, from) => { peers.push(from.port); s.send(m, from.port, from.address); });
  await new Promise((f) => s.bind(0, family === "udp4" ? "127.0.0.1" : "::1", f));
  return { socket: s, peers, port: s.address().port };
}
const four = await echo("udp4"), six = await echo("udp6"), stranger = dgram.createSocket("udp4");
await new Promise((f) => stranger.bind(0, "127.0.0.1", f));

async function metric(name) {
  const text = await (await fetch(`http://${at.open}/metrics`)).text();
  return Number(text.match(new RegExp(`event="${name}"} (\\d+)`))[1]);
}

const browser = await chromium.launch({ executablePath: browserPath, args: ["--no-sandbox", "--allow-loopback-in-peer-connection"] });
try {
  const page = await browser.newPage();
  page.on("console", (m) => console.error("page:", m.text()));
  await page.goto(`http://127.0.0.1:${at.pagePort}/`);
  await page.evaluate(() => {
    const bytes = (x) => new Uint8Array(x);
    window.same = (a, b) => { a = bytes(a); b = bytes(b); if (a.length !== b.length || a.some((v, i) => v !== b[i])) throw new Error(`${a} is not ${b}`); };
    window.text = (s) => new TextEncoder().encode(s);
    window.join = (...parts) => { const out = []; for (const p of parts) for (const v of p) out.push(v); return Uint8Array.from(out); };
    // What comes of a socket or a channel, in order
    window.listen = (ch) => {
      const have = [], want = [];
      ch.binaryType = "arraybuffer";
      ch.onmessage = (e) => (want.length ? want.shift()(e.data) : have.push(e.data));
      ch.next = () => (have.length ? Promise.resolve(have.shift()) : new Promise((f) => want.push(f)));
      ch.ended = new Promise((f) => ch.addEventListener("close", f));
      return ch;
    };
    window.socket = (url, protocol) => new Promise((ok, fail) => {
      const ws = listen(new WebSocket(url, protocol));
      ws.onopen = () => ok(ws);
      ws.onerror = () => fail(new Error(url));
    });
    window.opened = (ch) => new Promise((ok, fail) => {
      if (ch.readyState === "open") ok(ch);
      ch.addEventListener("open", () => ok(ch));
      ch.addEventListener("close", () => fail(new Error(ch.label + " was closed")));
    });
    window.v1 = (port, remote, payload) => join([port >> 8, port & 255, 127, 0, 0, 1, remote >> 8, remote & 255], payload);
    window.v2 = (port, remote, payload, v6) => join([0xa2, 2, v6 ? 6 : 4, 0, port >> 8, port & 255],
      v6 ? [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1] : [127, 0, 0, 1], [remote >> 8, remote & 255], payload);
    window.echoes = async (ch, frame) => { ch.send(frame); same(await ch.next(), frame); };
    window.udp = { ordered: false, maxRetransmits: 0 };
    // As Aero's clients do: ICE servers, a socket, an offer with candidates behind it
    window.connect = async (host, channels, auth) => {
      const servers = await (await fetch(`http://${host}/webrtc/ice`, { credentials: "include", cache: "no-store", headers: auth ? { "x-api-key": auth } : {} })).json();
      const pc = new RTCPeerConnection(servers), ws = await socket(`ws://${host}/webrtc/signal`), chs = {};
      const failed = new Promise((ok, fail) => ws.addEventListener("close", (e) => fail(new Error(`signalling ended: ${e.code} ${e.reason}`))));
      failed.catch(() => {});
      if (auth) ws.send(JSON.stringify({ type: "auth", token: auth, apiKey: auth }));
      for (const [label, init] of Object.entries(channels)) chs[label] = listen(pc.createDataChannel(label, init));
      const early = [];
      let sent = false, mdns = 0;
      const say = (c) => ws.send(JSON.stringify({ type: "candidate", candidate: c }));
      pc.onicecandidate = (e) => {
        if (!e.candidate) return;
        if (/\.local /.test(e.candidate.candidate)) mdns++;
        if (sent) say(e.candidate.toJSON()); else early.push(e.candidate.toJSON());
      };
      await pc.setLocalDescription(await pc.createOffer());
      ws.send(JSON.stringify({ type: "offer", sdp: { type: "offer", sdp: pc.localDescription.sdp } }));
      sent = true;
      early.forEach(say);
      const first = JSON.parse(await Promise.race([ws.next(), failed]));
      if (first.type !== "answer") throw new Error(JSON.stringify(first));
      await pc.setRemoteDescription(first.sdp);
      const second = JSON.parse(await ws.next());
      if (second.type !== "candidate") throw new Error(JSON.stringify(second));
      await pc.addIceCandidate(second.candidate);
      return { pc, ws, ...chs, mdns: () => mdns };
    };
  });

  // --- WebSockets, sessions, names
  console.log(await page.evaluate(async (at) => {
    const made = await fetch(`http://${at.session}/session`, { method: "POST", credentials: "include", headers: { "content-type": "application/json" }, body: "{}" });
    const session = await made.json();
    if (made.status !== 201 || session.udpRelay.baseUrl !== `http://${at.session}` || !session.udpRelay.token) throw new Error(JSON.stringify(session));
    window.relay = session.udpRelay;
    const query = join([0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 4], text("echo"), [4], text("test"), [0, 0, 1, 0, 1]);
    const answer = await fetch(`http://${at.session}/dns-query`, { method: "POST", credentials: "include", headers: { "content-type": "application/dns-message" }, body: query });
    const got = new Uint8Array(await answer.arrayBuffer());
    if (answer.status !== 200 || got[1] !== 7 || got.slice(-4).join(".") !== "127.0.0.1") throw new Error("no answer: " + got);
    return "session dns ok";
  }, at));
  console.log(await page.evaluate(async (at) => {
    const tcp = await socket(`ws://${at.session}/tcp?v=1&host=echo.test&port=${at.tcp}`), data = new Uint8Array(300000).map((_, i) => i * 7);
    tcp.send(data);
    for (let have = 0; have < data.length;) { const p = new Uint8Array(await tcp.next()); same(p, data.subarray(have, have + p.length)); have += p.length; }
    tcp.close(1000);
    await tcp.ended;
    const mux = await socket(`ws://${at.session}/tcp-mux`, "aero-tcp-mux-v1"), head = (t, n) => [t, 0, 0, 0, 1, 0, 0, 0, n];
    mux.send(join(head(1, 15), [0, 9], text("127.0.0.1"), [at.tcp >> 8, at.tcp & 255, 0, 0], head(2, 5), text("hello")));
    same(await mux.next(), join(head(2, 5), text("hello")));
    return "tcp mux ok";
  }, at));
  console.log(await page.evaluate(async ([at, four, six]) => {
    const ws = await socket(`ws://${at.session}/udp`);
    if (JSON.parse(await ws.next()).type !== "ready") throw new Error("not ready");
    await echoes(ws, v1(1, four, text("one")));
    await echoes(ws, v2(1, six, text("two"), true));
    ws.close();
    // what a page on another site would say, where cookies do not go
    const other = await socket(`ws://${at.session}/udp?token=${relay.token}`);
    if (JSON.parse(await other.next()).type !== "ready") throw new Error("not ready");
    return "udp ok";
  }, [at, four.port, six.port]));

  // --- data channels
  console.log(await page.evaluate(async ([at, four, six]) => {
    window.c = await connect(at.session, { udp });
    await opened(c.udp);
    await echoes(c.udp, v1(1, four, text("one")));
    await echoes(c.udp, v1(1, four, text("")));
    await echoes(c.udp, v1(2, four, new Uint8Array(1200).fill(5)));
    c.udp.send(v2(1, four, text("two")));
    same(await c.udp.next(), v1(1, four, text("two")));
    await echoes(c.udp, v2(3, six, text("six"), true));
    if (c.mdns() === 0) throw new Error("no candidate of .local");
    return "data channel ok";
  }, [at, four.port, six.port]));
  stranger.send("let me in", four.peers.at(-1), "127.0.0.1");
  console.log(await page.evaluate(async ([at, four]) => {
    c.udp.send("a text is passed over");
    c.udp.send(v1(1, 9, text("denied by the policy")));
    c.udp.send(v1(1, four, new Uint8Array(1201)));
    c.udp.send(text("short"));
    await echoes(c.udp, v1(1, four, text("still here")));
    if (c.pc.sctp.maxMessageSize !== 4352) throw new Error("longest message: " + c.pc.sctp.maxMessageSize);
    c.udp.send(new Uint8Array(1225));
    await c.udp.ended;
    const again = listen(c.pc.createDataChannel("udp", udp));
    await opened(again);
    await echoes(again, v1(1, four, text("another one")));
    c.ws.close();
    await again.ended;
    return "bounds ok";
  }, [at, four.port]));
  console.log(await page.evaluate(async ([at, four]) => {
    // only "udp" and only as datagrams are; and only one
    const d = await connect(at.open, { udp, reliable: {}, other: udp }), bad = [];
    await opened(d.udp);
    for (const init of [{}, { ordered: false }, { ordered: true, maxRetransmits: 0 }, { ordered: false, maxPacketLifeTime: 100 }, udp])
      bad.push(listen(d.pc.createDataChannel("udp", init)));
    await Promise.all([d.reliable.ended, d.other.ended, ...bad.map((b) => b.ended)]);
    await echoes(d.udp, v1(1, four, text("the first one")));
    d.pc.close();
    const end = await d.ws.ended;
    if (end.code !== 1000 || end.reason !== "session closed") throw new Error(`${end.code} ${end.reason}`);
    return "channels ok";
  }, [at, four.port]));
  assert(await metric("webrtc_datachannel_rejected_unknown_label") === 2, "unknown labels");
  assert(await metric("webrtc_datachannel_rejected_duplicate_udp") === 5, "second channels");

  // --- Ethernet: a ping of the tunnel's is answered by whoever has the network; not on a channel that loses messages
  console.log(await page.evaluate(async (at) => {
    const d = await connect(at.open, { l2: {} });
    await opened(d.l2);
    d.l2.send(join([0xa2, 3, 1, 0], text("well?")));
    same(await d.l2.next(), join([0xa2, 3, 2, 0], text("well?")));
    const second = listen(d.pc.createDataChannel("l2"));
    await second.ended;
    d.l2.send(new Uint8Array(4097));
    await d.l2.ended;
    await listen(d.pc.createDataChannel("l2", udp)).ended;
    const again = listen(d.pc.createDataChannel("l2"));
    await opened(again);
    again.send(join([0xa2, 3, 1, 0], text("again")));
    same(await again.next(), join([0xa2, 3, 2, 0], text("again")));
    d.pc.close();
    await d.ws.ended;
    return "ethernet ok";
  }, at));
  assert(await metric("webrtc_datachannel_rejected_duplicate_l2") === 1, "second l2");
  assert(await metric("webrtc_datachannel_l2_message_too_large") === 1, "oversized l2");

  // --- full cone; an offer over HTTP
  await page.evaluate(async ([at, four]) => {
    window.e = new RTCPeerConnection();
    e.udp = listen(e.createDataChannel("udp", udp));
    await e.setLocalDescription(await e.createOffer());
    await new Promise((f) => { e.onicegatheringstatechange = () => e.iceGatheringState === "complete" && f(); if (e.iceGatheringState === "complete") f(); });
    const r = await fetch(`http://${at.open}/webrtc/offer`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ sdp: e.localDescription.toJSON() }) });
    await e.setRemoteDescription((await r.json()).sdp);
    await opened(e.udp);
    await echoes(e.udp, v1(1, four, text("by HTTP")));
  }, [at, four.port]);
  stranger.send("hello", four.peers.at(-1), "127.0.0.1");
  console.log(await page.evaluate(async (from) => {
    same(await e.udp.next(), v1(1, from, text("hello")));
    return "full cone ok";
  }, stranger.address().port));

  // --- tokens
  console.log(await page.evaluate(async ([at, four]) => {
    const d = await connect(at.tokens, { udp }, at.token);
    await opened(d.udp);
    await echoes(d.udp, v1(1, four, text("with a token")));
    const why = await connect(at.tokens, { udp }, at.token).then(() => "was let in", (x) => x.message);
    if (!/session_already_active/.test(why)) throw new Error(why);
    d.pc.close();
    await d.ws.ended;
    const ws = await socket(`ws://${at.tokens}/webrtc/signal?token=${at.expired}`);
    if (JSON.parse(await ws.next()).code !== "unauthorized" || (await ws.ended).code !== 1008) throw new Error("an expired token");
    const r = await fetch(`http://${at.tokens}/webrtc/ice`, { headers: { authorization: "Bearer " + at.expired } });
    if (r.status !== 401) throw new Error(r.status);
    return "tokens ok";
  }, [at, four.port]));
} finally {
  await browser.close();
  for (const s of [four.socket, six.socket, stranger]) s.close();
}
