// SPDX-License-Identifier: Apache-2.0
// Chromium's data channels against rtc_host: browser.mjs NODE_MODULES CHROMIUM RTC_HOST
// The SDP is exchanged by hand: what a gateway's signalling does is tested there.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { createRequire } from "node:module";

const [modules, browserPath, hostPath, ...hostArgs] = process.argv.slice(2);
const { chromium } = createRequire(modules + "/")("playwright-core");

function assert(what, text) { if (!what) throw new Error(text); }

const host = spawn(hostPath, hostArgs, { stdio: ["pipe", "pipe", "inherit"] });
const lines = [], waiting = [], heard = [];
const exited = new Promise((f) => host.on("exit", f));
createInterface({ input: host.stdout }).on("line", (l) => {
  heard.push(l);
  lines.push(l);
  for (const w of waiting.splice(0)) w();
});
// The first line that fits, whenever it came; each is given once.
async function line(pattern) {
  for (;;) {
    const at = lines.findIndex((l) => pattern.test(l));
    if (at >= 0) return lines.splice(at, 1)[0].match(pattern);
    await new Promise((f) => waiting.push(f));
  }
}
const say = (text) => host.stdin.write(text + "\n");
async function stats() {
  say("stats");
  const [, text] = await line(/^stats (.*)/);
  return Object.fromEntries(text.split(" ").map((p) => [p.split("=")[0], Number(p.split("=")[1])]));
}
// It stands still: where each side is says why.
setTimeout(async () => {
  console.log(["waits", ...heard.slice(-20)].join("\n  "));
  say("stats");
  const seen = page?.evaluate(() => JSON.stringify({
    connection: c.pc.connectionState, ice: c.pc.iceConnectionState, sctp: c.pc.sctp?.state,
    first: [c.first.readyState, c.first.bufferedAmount], seen: window.seen,
  })).catch(String);
  console.log("page:", await Promise.race([seen, new Promise((f) => setTimeout(f, 10000, "does not answer"))]));
  console.log(heard.at(-1));
  process.exit(1);
}, 180000).unref();
let page;
const port = (await line(/^port (\d+)/))[1];

// What the page asks of us: an offer's SDP in, an answer's out
async function negotiate(sdp, addresses) {
  const get = (name) => sdp.match(new RegExp(`^a=${name}:(.*)$`, "m"))?.[1].trim();
  const [hash, hex] = get("fingerprint").split(" ");
  say(["offer", get("ice-ufrag"), get("ice-pwd"), hash, hex.replaceAll(":", ""), get("setup"), get("sctp-port"), get("max-message-size")].join(" "));
  const [, n, ufrag, pwd, ours, setup, sctpPort, max] = await line(/^answer (\d+) (\S+) (\S+) (\S+) (\S+) (\d+) (\d+)/);
  const answer = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=ice-lite", "a=group:BUNDLE 0",
    `m=application ${port} UDP/DTLS/SCTP webrtc-datachannel`, "c=IN IP4 127.0.0.1", "a=mid:0", `a=ice-ufrag:${ufrag}`, `a=ice-pwd:${pwd}`,
    `a=fingerprint:sha-256 ${ours.match(/../g).join(":").toUpperCase()}`, `a=setup:${setup}`, `a=sctp-port:${sctpPort}`,
    `a=max-message-size:${max}`,
    ...addresses.map((a, i) => `a=candidate:${i + 1} 1 udp ${2130706431 - i * 256} ${a} ${port} typ host`), "a=end-of-candidates", ""].join("\r\n");
  return { n, answer };
}

const browser = await chromium.launch({ executablePath: browserPath, args: ["--no-sandbox", "--allow-loopback-in-peer-connection"] });
try {
  page = await browser.newPage();
  page.on("crash", () => { console.log("the page has crashed"); process.exit(1); });
  page.on("console", (m) => console.log("page:", m.text()));
  await page.exposeFunction("negotiate", negotiate);
  await page.evaluate(() => {
    window.connect = async (addresses, edit = (s) => s) => {
      const pc = new RTCPeerConnection();
      const first = pc.createDataChannel("udp", { ordered: false, maxRetransmits: 0 });
      await pc.setLocalDescription(await pc.createOffer());
      const { n, answer } = await window.negotiate(edit(pc.localDescription.sdp), addresses);
      await pc.setRemoteDescription({ type: "answer", sdp: answer });
      return { pc, first, n };
    };
    window.opened = (ch) => new Promise((ok, fail) => {
      ch.binaryType = "arraybuffer";
      window.seen = `open: ${ch.label}`;
      if (ch.readyState === "open") return ok(ch);
      ch.onopen = () => ok(ch);
      ch.onclose = ch.onerror = (e) => fail(new Error(`${ch.label}: ${e.error ?? "closed"}`));
    });
    window.next = (ch) => new Promise((f) => { window.seen = `message: ${ch.label}`; ch.onmessage = (e) => f(e.data); });
    window.same = (a, b) => a.length === b.length && a.every((v, i) => v === b[i]);
  });

  for (const address of ["127.0.0.1", "::1"]) {
    await page.evaluate(async (a) => {
      window.c = await connect([a]);
      await opened(c.first);
    }, address);
    assert((await line(/^connected \d+ (.*)/))[1].includes(address), `connected by ${address}`);
    await line(/^channel \d+ \d+ udp - 0 0 -1$/);
    if (address === "::1") {
      await page.evaluate(() => c.pc.close());
      await line(/^ended 1 peer$/);
    }
  }

  // of the first session again: strings, binary, empty ones, all lengths around what a packet holds
  await page.evaluate(async () => {
    window.c = await connect(["127.0.0.1"]);
    const ch = await opened(c.first);
    for (const text of ["grüße", ""]) {
      const back = next(ch);
      ch.send(text);
      if (await back !== text) throw new Error(`text came back otherwise: ${text}`);
    }
    const l2 = await opened(c.pc.createDataChannel("l2", { protocol: "a-protocol" }));
    for (const len of [0, 1, 2, 3, 1100, 1150, 1151, 1152, 1153, 1154, 1155, 1156, 1200, 1224, 2300, 4352]) {
      const data = crypto.getRandomValues(new Uint8Array(len)), back = next(l2);
      l2.send(data);
      if (!same(new Uint8Array(await back), data)) throw new Error(`${len} bytes came back otherwise`);
    }
  });
  await line(/^channel 2 \d+ l2 a-protocol 1 -1 -1$/);

  // in order and complete, with more than any buffer holds; the other way also
  await page.evaluate(async () => {
    const ch = await opened(c.pc.createDataChannel("order"));
    let at = 0, sent = 0;
    await new Promise((ok, fail) => {
      ch.onmessage = (e) => {
        if (new DataView(e.data).getUint32(0) !== at++ || e.data.byteLength !== 4000) fail(new Error(`message ${at} is another`));
        if (at === 1000) ok();
      };
      ch.bufferedAmountLowThreshold = 100000;
      ch.onbufferedamountlow = () => {
        for (; sent < 1000 && ch.bufferedAmount < 500000; sent++) {
          const d = new Uint8Array(4000);
          new DataView(d.buffer).setUint32(0, sent);
          ch.send(d);
        }
      };
      ch.onbufferedamountlow();
    });
    const flood = await opened(c.pc.createDataChannel("flood"));
    at = 0;
    await new Promise((ok, fail) => {
      flood.onmessage = (e) => {
        if (new DataView(e.data).getUint32(0, true) !== at++) fail(new Error(`flood: ${at} is another`));
        if (at === 4000) ok();
      };
      flood.send("go");
    });
  });

  // channels end: refused, closed here, closed there; their ids are used again
  for (let i = 0; i < 3; i++) {
    await page.evaluate(async () => {
      const gone = (ch) => new Promise((f) => { ch.onclose = f; });
      await gone(c.pc.createDataChannel("refuse"));
      const theirs = await opened(c.pc.createDataChannel("close"));
      theirs.send("now");
      await gone(theirs);
      const ours = await opened(c.pc.createDataChannel("ours"));
      const closed = gone(ours);
      ours.close();
      await closed;
    });
    const id = (await line(/^channel 2 (\d+) ours/))[1];
    await line(new RegExp(`^closed 2 ${id}$`));
  }

  // closed by us: the browser hears of it
  await page.evaluate(() => { window.ended = new Promise((f) => { c.first.onclose = f; }); });
  say("close 2");
  await line(/^gone 2/);
  await page.evaluate(() => window.ended);

  // an identity that the offer did not name; a message that is too long
  await page.evaluate(async () => { window.c = await connect(["127.0.0.1"], (s) => s.replace(/(a=fingerprint:sha-256 )(..)/, (_, a, b) => a + (b === "00" ? "01" : "00"))); });
  await line(/^ended 3 identity$/);
  await page.evaluate(async () => {
    window.c.pc.close();
    window.c = await connect(["127.0.0.1"]);
    const ch = await opened(c.first);
    ch.send(new Uint8Array(4352)); // the browser itself refuses what is longer than a=max-message-size
    c.pc.close();
  });
  await line(/^ended 4 peer$/);

  // a browser that takes the passive side
  await page.evaluate(async () => {
    window.c = await connect(["127.0.0.1"], (s) => s.replace("a=setup:actpass", "a=setup:passive"));
    const ch = await opened(c.first), back = next(ch);
    ch.send("other way round");
    if (await back !== "other way round") throw new Error("passive");
    c.pc.close();
  });
  await line(/^ended 5 peer$/);

  const s = await stats();
  // who was sent messages of more than a packet answered the probes for longer ones
  assert(s.widened >= 1 && s.probes >= 5 && s.narrowed === 0, `longer packets: ${JSON.stringify(s)}`);
  assert(s.sessions === 1, `sessions left: ${s.sessions}`);
  assert(s.connected === 5, `connected: ${s.connected}`);
  assert(s.sctp_bad === 0 && s.dcep_bad === 0 && s.stun_bad === 0, `bad: ${JSON.stringify(s)}`);
  console.log(JSON.stringify(s));
} finally {
  await browser.close();
}
host.stdin.end();
assert(await exited === 0, "rtc_host ended otherwise");
