// Node's `ws`: what comes in on /publish is sent to everybody else.
//
//     node node_ws.mjs PORT
import { WebSocketServer } from "ws";

const audience = new Set();
const server = new WebSocketServer({ host: "127.0.0.1", port: Number(process.argv[2]), backlog: 4096 });

server.on("connection", (socket, request) => {
  if (request.url === "/publish") {
    socket.on("message", (data) => {
      for (const one of audience) one.send(data, { binary: false });
    });
    return;
  }
  audience.add(socket);
  socket.on("close", () => audience.delete(socket));
});
