// node: an HTTP server, timers, promises, a worker thread, a buffer outside of the heap.
const http = require('http');
const fs = require('fs');
const crypto = require('crypto');
const { Worker } = require('worker_threads');

const blob = crypto.randomBytes(1 << 20);
const sum = crypto.createHash('sha256').update(blob).digest('hex');
const seen = [];
let ticks = 0;
setInterval(() => { ticks += 1; }, 5);
const worker = new Worker(
  "const { parentPort } = require('worker_threads'); parentPort.on('message', (n) => parentPort.postMessage(n * n));",
  { eval: true },
);
const ask = (n) => new Promise((resolve) => { worker.once('message', resolve); worker.postMessage(n); });

const server = http.createServer(async (request, response) => {
  seen.push(request.url);
  const now = crypto.createHash('sha256').update(blob).digest('hex');
  response.setHeader('Connection', 'close');
  response.end(JSON.stringify({ square: await ask(seen.length), count: seen.length, ticks, same: now === sum }));
});
server.listen(8081, '127.0.0.1', async () => {
  await ask(1);
  fs.writeFileSync('ready.part', String(process.pid));
  fs.renameSync('ready.part', 'ready');
});
