// SPDX-License-Identifier: Apache-2.0
// The smallest /tcp of Node: ws and net, with back-pressure both ways and nothing else. NODE_PATH says where ws is.
//
//	node proxy.cjs PORT
const http = require("node:http"), net = require("node:net");
const { WebSocketServer } = require("ws");

const server = http.createServer();
const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false });

server.on("upgrade", (req, socket, head) => {
  const to = new URL(req.url, "http://localhost").searchParams;
  sockets.handleUpgrade(req, socket, head, (ws) => {
    const tcp = net.connect({ host: to.get("host"), port: Number(to.get("port")), noDelay: true });
    socket.setNoDelay(true);
    ws.on("message", (data) => {
      if (tcp.write(data) === false) ws.pause();
    });
    tcp.on("drain", () => ws.resume());
    tcp.on("data", (data) => {
      ws.send(data, { binary: true });
      if (ws.bufferedAmount > 262144) {
        tcp.pause();
        socket.once("drain", () => tcp.resume());
      }
    });
    tcp.on("end", () => ws.close(1000));
    tcp.on("error", () => ws.close(1011));
    ws.on("close", () => tcp.destroy());
    ws.on("error", () => tcp.destroy());
  });
});
server.listen({ port: Number(process.argv[2]), host: "127.0.0.1", backlog: 1024 });
